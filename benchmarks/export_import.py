"""What it takes to move a log from SQLite to PostgreSQL by a file, in time and in memory.

    python -m benchmarks.export_import                     # 1,000,000 events, a server of its own
    python -m benchmarks.export_import --events 100000 --url postgresql://…
    python -m benchmarks.export_import --json out.json     # or --json - for stdout

Events have some 120 bytes of data, correlation and causation ids and an actor; one in twenty has a
tag; streams have 40 events. The import is verified as it goes: each chunk is read back and
compared. Memory is the resident set, as it is after the first tenth and at its highest after that.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks._postgres_server import server_at
from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.clock import SystemClock
from headwater.ids import new_id
from headwater.operations.exporting import export_log
from headwater.operations.importing import import_log
from headwater.operations.verifying import verify_log
from headwater.ports.changes import Append, Changes, NewEvent
from headwater.streams import ExpectedVersion

EVENTS = 1_000_000
STREAM_EVENTS = 40
OCCURRED_AT = 1_700_000_000_000_000


class Memory:
    """Watches the resident memory of the process, in MiB, as a progress is made."""

    def __init__(self) -> None:
        self.early = self.highest = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = _resident_mib()
        if done <= total / 10 or not self.early:
            self.early = now
        self.highest = max(self.highest, now)

    @property
    def growth(self) -> float:
        """By how much it grew after the first tenth."""
        return self.highest - self.early


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _event(number: int) -> NewEvent:
    data = (
        f'{{"order_id":"{number}","total":"9.99","lines":[{{"sku":"A-{number % 97}","count":3}},'
        f'{{"sku":"B-{number % 89}","count":1}}],"note":"as ordered"}}'
    )
    return NewEvent(
        new_id.as_bytes(),
        "sales.order-placed",
        1,
        data,
        OCCURRED_AT + number,
        new_id.as_bytes(),
        new_id.as_bytes(),
        "ada",
        tags=(f"customer:{number % 1000}",) if number % 20 == 0 else (),
    )


async def _fill(storage: SqliteStorage, events: int) -> None:
    for first in range(0, events, 2_000):
        appends = [
            Append(
                f"sales.order-{begin // STREAM_EVENTS}",
                ExpectedVersion.any(),
                tuple([_event(number) for number in range(begin, begin + STREAM_EVENTS)]),
            )
            for begin in range(first, first + 2_000, STREAM_EVENTS)
        ]
        await storage.commit(Changes(tuple(appends)))


async def _timed(work: Callable[[Memory], Any]) -> dict[str, float]:
    memory, begun = Memory(), time.monotonic()
    await work(memory)
    seconds = time.monotonic() - begun
    return {
        "seconds": round(seconds, 2),
        "mib_after_a_tenth": round(memory.early, 1),
        "mib_growth_after_that": round(memory.growth, 1),
    }


async def measure(folder: Path, url: str, events: int) -> dict[str, Any]:
    """Return the figures of moving *events* events to *url*."""
    source = SqliteStorage(SqliteSettings(folder / "source.db", durability="normal"))
    schema = f"bench_{uuid4().hex[:12]}"
    settings = PostgresSettings.from_url(f"{url}?schema={schema}&auto_migrate=true")
    target = PostgresStorage(settings)
    file = folder / "log.jsonl"
    await source.open()
    await target.open()
    try:
        await _fill(source, events)
        figures: dict[str, Any] = {"events": events}
        at = SystemClock().now()
        figures["export"] = await _timed(
            lambda memory: export_log(source, file, at=at, progress=memory)
        )
        figures["import"] = await _timed(lambda memory: import_log(target, file, progress=memory))
        figures["verify"] = await _timed(lambda memory: verify_log(target, progress=memory))
    finally:
        await target.close()
        await source.close()
    for step in ("export", "import", "verify"):
        figures[step]["events_per_second"] = round(events / figures[step]["seconds"])
    figures["file_mib"] = round((await asyncio.to_thread(file.stat)).st_size / (1 << 20), 1)
    return figures


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--url", help="a PostgreSQL server; by default one is started")
    parser.add_argument("--json", help="write the figures there; '-' is stdout")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server_at(options.url) as url:
        figures = asyncio.run(measure(Path(folder), url, options.events))
    text = json.dumps(figures, indent=2)
    if options.json not in (None, "-"):
        Path(options.json).write_text(text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
