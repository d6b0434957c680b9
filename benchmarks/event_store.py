"""What the SQLite storage costs, next to bare `sqlite3` and pyeventsourcing, in one run.

    python -m benchmarks.event_store                   # ours and pyeventsourcing
    python -m benchmarks.event_store --no-peers
    python -m benchmarks.event_store --json out.json   # or --json - for stdout

Every figure is a ratio of medians; the sides take short turns, in the same process and directory,
on files of their own with ``synchronous=FULL``, so that the machine's mood falls on all.

Appending: the limit is `sqlite3` alone, writing finished tuples into the same table and indexes
with `executemany`, 256 to a transaction (or one). Ours is 256 tasks (or one), each of which
commits one event to a stream of its own and waits until it is on disk, at the storage's door and
through `EventStore.append`, which encodes and checks the round trip too. pyeventsourcing saves an
aggregate with one event from each of 256 threads, as its application for SQLite comes.

Loading: the limit reads 1,000 payloads of a stream with one SELECT, decodes them with msgspec as
one tagged union and folds them into a state by a `match`. Ours is `storage.read_payloads` with the
codec's decoding and the same fold, and a `Repository`, which hands out an aggregate.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import sqlite3
import sys
import tempfile
import time
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from benchmarks._event_store_appending import measure_appending, one_event
from benchmarks._event_store_domain import Files
from benchmarks._event_store_loading import measure_loading
from benchmarks._event_store_peer import Peer
from benchmarks._table import Table
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.ports.changes import Append, Changes
from headwater.streams import ExpectedVersion

CALLERS = 256
TOGETHER, TOGETHER_SLICES = 256 * 20, 15
ALONE, ALONE_SLICES = 150, 41
SCANNED = 200_000


async def scan(path: Path) -> dict[str, float]:
    """Return what reading a long log page by page takes, in time and in resident memory."""
    storage = SqliteStorage(path)
    await storage.open()
    for first in range(0, SCANNED, 1_000):
        many = [one_event().appends[0].events[0] for _ in range(1_000)]
        await storage.commit(
            Changes((Append(f"sales.order-{first}", ExpectedVersion.any(), tuple(many)),))
        )
    resident: list[float] = []
    started, after = time.perf_counter(), 0
    while after < SCANNED:
        after = (await storage.read_log(after=after, limit=1_000)).scanned_to
        resident.append(resident_mib())
    rate = SCANNED / (time.perf_counter() - started)
    await storage.close()
    tenth = len(resident) // 10
    return {"events_per_second": rate, "grown_mib": max(resident) - max(resident[:tenth])}


def resident_mib() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_peer(files: Files) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {"append": [], "load": []}
    for _ in range(3):
        peer = Peer(files.fresh())
        rates["append"].append(peer.append(CALLERS))
        rates["load"].append(peer.loading())
        peer.app.close()
    return rates


def measure(directory: str, *, peers: bool) -> dict[str, Any]:
    files, table = Files(directory), Table()
    together = asyncio.run(measure_appending(files, TOGETHER, CALLERS, slices=TOGETHER_SLICES))
    table.add("256 at once, storage.commit : sqlite3", together["storage"], together["bare"], 0.35)
    table.add("256 at once, EventStore.append : sqlite3", together["store"], together["bare"], 0.35)
    alone = asyncio.run(measure_appending(files, ALONE, 1, slices=ALONE_SLICES))
    table.add("one by one, storage.commit : sqlite3", alone["storage"], alone["bare"], 0.5)
    table.add("one by one, EventStore.append : sqlite3", alone["store"], alone["bare"], 0.5)
    loads = asyncio.run(measure_loading(files))
    table.add("load 1,000, read_payloads and fold : limit", loads["storage"], loads["bare"], 0.5)
    table.add("load 1,000, Repository.get : limit", loads["repository"], loads["bare"], 0.5)
    if peers and find_spec("eventsourcing"):
        peer = measure_peer(files)
        name = "pyeventsourcing"
        table.add(f"256 at once, storage.commit : {name}", together["storage"], peer["append"], 15)
        table.add(f"256 at once, EventStore.append : {name}", together["store"], peer["append"], 15)
        table.add(f"load 1,000, Repository.get : {name}", loads["repository"], peer["load"], 10)
    scanned = asyncio.run(scan(files.fresh()))
    print(
        f"\nScan of {SCANNED:,} events in pages of 1,000: {scanned['events_per_second']:,.0f}/s, "
        f"resident memory grew by {scanned['grown_mib']:.1f} MiB after the first tenth."
    )
    return {"comparisons": table.lines, "scan": scanned}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", metavar="FILE", help="write the figures there, '-' is stdout")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--directory", help="where the files are made (default: the system's)")
    options = parser.parse_args()
    versions = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    shown = StringIO() if options.json == "-" else sys.stdout
    with (
        redirect_stdout(shown),
        tempfile.TemporaryDirectory(dir=options.directory, prefix="headwater-bench-") as directory,
    ):
        print(f"Python {versions['python']}, SQLite {versions['sqlite']}, {os.cpu_count()} cores")
        results = measure(directory, peers=not options.no_peers)
    text = json.dumps({**versions, **results}, indent=1)
    if options.json == "-":
        print(text)
    elif options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
