"""Four processes write to one PostgreSQL log, and a fifth that follows it must miss nothing.

    python -m tests.soak.postgres_tailing [--events 200000] [--seed 1]

It starts a server of its own and ends it. The exit code is 1 if an event was missed, or came
out of order. The test suite runs the same with a few events.
"""

import argparse
import asyncio
import hashlib
import sys
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import msgspec

from headwater.adapters.storage.postgres.connections import connect
from headwater.adapters.storage.postgres.schema import upgrade
from headwater.adapters.storage.postgres.settings import PostgresSettings
from tests.servers.postgres import PostgresServer, shared_server
from tests.servers.run_folder import RunFolder
from tests.storage.crash.processes import begin, output, process

TAILING, WRITING = (str(Path(__file__).with_name(name)) for name in ("tailing.py", "writing.py"))
WRITERS = 4


class Outcome(msgspec.Struct):
    """What the process that followed the log saw, and how many events it missed."""

    events: int
    positions_wrong: int
    versions_wrong: int
    ids: str
    seconds: float
    missed: int = 0
    same_ids: bool = False

    @property
    def good(self) -> bool:
        """Whether nothing was missed, and all came in order."""
        return self.same_ids and not (self.missed or self.positions_wrong or self.versions_wrong)


def tail(settings: PostgresSettings, url: str, *, events: int, seed: int) -> Outcome:
    """Have *events* events written and followed at the same time; return what was seen."""
    asyncio.run(_make(settings))
    shares = [events // WRITERS] * (WRITERS - 1)
    shares.append(events - sum(shares))
    with ExitStack() as running:
        reader = running.enter_context(process(TAILING, url, events))
        writers = [
            running.enter_context(process(WRITING, url, f"w{number}", seed + number, share))
            for number, share in enumerate(shares)
        ]
        for writer in writers:
            begin(writer)
        told = output(reader).readline()
        assert [each.wait() for each in (*writers, reader)] == [0] * (WRITERS + 1)
    outcome = msgspec.json.decode(told, type=Outcome)
    asyncio.run(_compare(settings, outcome))
    return outcome


async def _make(settings: PostgresSettings) -> None:
    await upgrade(settings)


async def _compare(settings: PostgresSettings, outcome: Outcome) -> None:
    """Compare what was seen with what is in the table."""
    connection = await connect(settings)
    rows = await connection.fetch(f"SELECT id FROM {settings.schema}.events ORDER BY position")
    await connection.close()
    outcome.missed = len(rows) - outcome.events
    outcome.same_ids = outcome.ids == hashlib.sha256(b"".join(id_ for (id_,) in rows)).hexdigest()


def main(events: int, seed: int) -> int:
    """Run on a server of its own; return the exit code."""
    folder = RunFolder(uuid4().hex[:12])
    try:
        server: PostgresServer = shared_server(folder)
        url = f"{server.url()}?sslmode=disable"
        outcome = tail(PostgresSettings.from_url(url), url, events=events, seed=seed)
    finally:
        folder.leave()
    print(
        f"{outcome.events:,} events by {WRITERS} processes, seed {seed}: {outcome.missed} missed, "
        f"{outcome.positions_wrong} positions and {outcome.versions_wrong} versions out of order, "
        f"ids {'the same' if outcome.same_ids else 'NOT the same'}; read within "
        f"{outcome.seconds} s ({outcome.events / outcome.seconds:,.0f}/s)"
    )
    return 0 if outcome.good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(main(options.events, options.seed))
