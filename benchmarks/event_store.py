"""What the SQLite storage costs, next to bare `sqlite3` and pyeventsourcing, in one run.

    python benchmarks/event_store.py                   # ours and pyeventsourcing
    python benchmarks/event_store.py --no-peers
    python benchmarks/event_store.py --json out.json   # or --json - for stdout

Every figure is a ratio of medians; both sides are measured in turns, in the same process and
directory, on fresh files with ``synchronous=FULL``, so that the disk's mood falls on both.

Appending: the limit is `sqlite3` alone, writing finished tuples into the same table and indexes
with `executemany`, 256 to a transaction (or one). Ours is 256 tasks (or one), each of which
commits one event to a stream of its own and waits until it is on disk, at the storage's door and
through `EventStore.append`, which encodes and checks the round trip too. pyeventsourcing saves an
aggregate with one event from each of 256 threads, as its application for SQLite comes.

Loading: the limit reads 1,000 payloads of a stream with one SELECT, decodes them with msgspec as
one tagged union and folds them into a state by a `match`. Ours is
`storage.read_payloads` with
the codec's decoding and the same fold, and a `Repository`, which hands out an aggregate.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, redirect_stdout
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import msgspec

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.event_store import EventStore
from headwater.ids import new_id
from headwater.messages import Event
from headwater.ports.changes import Append, Changes, NewEvent
from headwater.streams import ExpectedVersion

REPEATS = 7
CALLERS = 256
EVENTS = 256 * 60
ALONE = 1_500
LOADED = 1_000
LOADS = 40
PEER_SECONDS = 2.0
SCANNED = 200_000
INSERT = f"INSERT INTO headwater_events VALUES ({', '.join('?' * 16)})"
NEW = ExpectedVersion.no_stream()


class OrderOpened(Event):
    customer: str


class LineAdded(Event):
    sku: str
    quantity: int
    price: str
    currency: str
    note: str


class LineRemoved(Event):
    sku: str
    quantity: int


class Order(Aggregate[UUID]):
    customer: str = ""
    total: int = 0

    @applies
    def _opened(self, event: OrderOpened) -> None:
        self.customer = event.customer

    @applies
    def _added(self, event: LineAdded) -> None:
        self.total += event.quantity

    @applies
    def _removed(self, event: LineRemoved) -> None:
        self.total -= event.quantity


TYPES = (OrderOpened, LineAdded, LineRemoved)
LINE = LineAdded(sku="SKU-000042", quantity=3, price="19.99", currency="EUR", note="x" * 44)
DATA = msgspec.json.encode(LINE).decode()


def thousand_events() -> list[Event]:
    lines = [LINE if n % 5 else LineRemoved(sku="SKU-000042", quantity=1) for n in range(1, LOADED)]
    return [OrderOpened(customer="c-1234567"), *lines]


class Files:
    """Fresh files in one directory."""

    def __init__(self, directory: str) -> None:
        self._directory, self._count = Path(directory), 0

    def fresh(self) -> Path:
        self._count += 1
        return self._directory / f"{self._count}.db"


# --------------------------------------------------------------------------------- appending


async def made(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()
    await storage.close()


def append_bare(path: Path, count: int, batch: int) -> float:
    """Return events per second of `sqlite3` alone."""
    asyncio.run(made(path))
    rows: list[tuple[Any, ...]] = []
    for position in range(1, count + 1):
        id = new_id()
        context = (id.bytes, id.bytes, "ada", None, None, None, None)
        place = (position, f"sales.order-{id}", 1, id.bytes, "sales.line-added", 1)
        rows.append((*place, DATA, time.time_ns() // 1000, time.time_ns() // 1000, *context))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        started = time.perf_counter()
        for first in range(0, count, batch):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, rows[first : first + batch])
            connection.execute("COMMIT")
        return count / (time.perf_counter() - started)


async def from_callers(step: Callable[[], Awaitable[object]], count: int, callers: int) -> float:
    """Return how often a second *step* is done by tasks that each do one after another."""
    left: Iterator[int] = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await step()

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (time.perf_counter() - started)


async def append_to_storage(path: Path, count: int, callers: int) -> float:
    storage = SqliteStorage(path)
    await storage.open()
    changes = iter([one_event() for _ in range(count)])
    rate = await from_callers(lambda: storage.commit(next(changes)), count, callers)
    await storage.close()
    return rate


def one_event() -> Changes:
    id = new_id()
    event = NewEvent(
        id=id.bytes,
        type="sales.line-added",
        schema_version=1,
        data=DATA,
        occurred_at=time.time_ns() // 1000,
        correlation_id=id.bytes,
        causation_id=id.bytes,
        actor="ada",
    )
    return Changes((Append(f"sales.order-{id}", NEW, (event,)),))


async def append_to_store(path: Path, count: int, callers: int) -> float:
    streams = iter([f"sales.order-{new_id()}" for _ in range(count)])
    async with EventStore(SqliteStorage(path), types=TYPES, context="sales") as store:
        return await from_callers(
            lambda: store.append(next(streams), [LINE], expected=NEW), count, callers
        )


# ----------------------------------------------------------------------------------- loading


class Opened(msgspec.Struct, frozen=True, tag=True, gc=False):
    customer: str


class Added(msgspec.Struct, frozen=True, tag=True, gc=False):
    sku: str
    quantity: int
    price: str
    currency: str
    note: str


class Removed(msgspec.Struct, frozen=True, tag=True, gc=False):
    sku: str
    quantity: int


class State(msgspec.Struct, frozen=True):
    customer: str = ""
    total: int = 0


def evolve(state: State, event: object) -> State:
    match event:
        case Added(quantity=quantity) | LineAdded(quantity=quantity):
            return State(state.customer, state.total + quantity)
        case Removed(quantity=quantity) | LineRemoved(quantity=quantity):
            return State(state.customer, state.total - quantity)
        case Opened(customer=customer) | OrderOpened(customer=customer):
            return State(customer, state.total)
        case _:
            raise AssertionError(event)


def folded(events: list[Any]) -> int:
    state = State()
    for event in events:
        state = evolve(state, event)
    return state.total


def bare_load(path: Path) -> Callable[[], int]:
    """Return the limit: one SELECT, msgspec, and a fold."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(
        "CREATE TABLE events (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, "
        "version INTEGER NOT NULL, type TEXT NOT NULL, data BLOB NOT NULL, "
        "UNIQUE (stream, version))"
    )
    kinds: dict[type, type[msgspec.Struct]] = dict(
        zip(TYPES, (Opened, Added, Removed), strict=True)
    )
    for version, event in enumerate(thousand_events()):
        data = msgspec.json.encode(kinds[type(event)](**msgspec.structs.asdict(event)))
        connection.execute(
            "INSERT INTO events (stream, version, type, data) VALUES ('s', ?, 'x', ?)",
            (version, data),
        )
    decode = msgspec.json.Decoder(Opened | Added | Removed).decode
    select = "SELECT data FROM events WHERE stream = ? ORDER BY version"

    def load() -> int:
        state = State()
        for (data,) in connection.execute(select, ("s",)):
            state = evolve(state, decode(data))
        return state.total

    return load


def loading_bare(load: Callable[[], int]) -> float:
    started = time.perf_counter()
    for _ in range(LOADS):
        load()
    return LOADED * LOADS / (time.perf_counter() - started)


async def loading(load: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    for _ in range(LOADS):
        await load()
    return LOADED * LOADS / (time.perf_counter() - started)


async def measure_loading(files: Files) -> dict[str, list[float]]:
    id = new_id()
    stream_id = f"sales.order-{id}"
    bare = bare_load(files.fresh())
    rates: dict[str, list[float]] = {"bare": [], "storage": [], "repository": []}
    async with EventStore(SqliteStorage(files.fresh()), types=TYPES, context="sales") as store:
        await store.append(stream_id, thousand_events(), expected=NEW)
        decode, repository = store.codec.decode, store.repository(Order)

        async def by_hand() -> int:
            page = await store.storage.read_payloads(stream_id, limit=LOADED)
            return folded([decode(name, version, data) for _, name, version, data in page])

        async def aggregate() -> int:
            return (await repository.get(id)).total

        assert bare() == await by_hand() == await aggregate()
        for _ in range(REPEATS):
            rates["bare"].append(loading_bare(bare))
            rates["storage"].append(await loading(by_hand))
            rates["repository"].append(await loading(aggregate))
    return rates


# ----------------------------------------------------------------------------- pyeventsourcing


@cache
def peer_order() -> Any:
    """Return its aggregate, which it finds again by its name in this module."""
    base: Any = import_module("eventsourcing.domain").Aggregate
    source = """
class PeerOrder(Base):
    def __init__(self, customer: str) -> None:
        self.customer, self.total = customer, 0

    class LineWasAdded(Base.Event):
        sku: str
        quantity: int
        price: str
        currency: str
        note: str

        def apply(self, aggregate):
            aggregate.total += self.quantity
"""
    names = {"Base": base, "__name__": __name__}
    exec(source, names)
    globals()["PeerOrder"] = names["PeerOrder"]
    return names["PeerOrder"]


class Peer:
    """An application of pyeventsourcing on SQLite, with the same event."""

    def __init__(self, path: Path) -> None:
        self.app: Any = import_module("eventsourcing.application").Application(
            env={
                "PERSISTENCE_MODULE": "eventsourcing.sqlite",
                "SQLITE_DBNAME": str(path),
                "SQLITE_LOCK_TIMEOUT": "60",
            }
        )
        self._order = peer_order()

    def append(self, callers: int) -> float:
        """Return events per second of threads that each save one new aggregate after another."""
        counts = [0] * callers
        end = time.perf_counter() + PEER_SECONDS

        def caller(number: int) -> None:
            while time.perf_counter() < end:
                self.app.save(self._order(customer="c-1234567"))
                counts[number] += 1

        threads = [Thread(target=caller, args=(number,)) for number in range(callers)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)

    def loading(self) -> float:
        order = self._order(customer="c-1234567")
        for _ in range(LOADED - 1):
            order.trigger_event(order.LineWasAdded, **msgspec.structs.asdict(LINE))
        self.app.save(order)
        started = time.perf_counter()
        for _ in range(5):
            assert self.app.repository.get(order.id).version == LOADED
        return 5 * LOADED / (time.perf_counter() - started)


# ---------------------------------------------------------------------------------- scanning


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


# --------------------------------------------------------------------------------- measuring


def measure_appending(files: Files, count: int, callers: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {"bare": [], "storage": [], "store": []}
    for _ in range(REPEATS):
        gc.collect()
        rates["bare"].append(append_bare(files.fresh(), count, callers))
        rates["storage"].append(asyncio.run(append_to_storage(files.fresh(), count, callers)))
        rates["store"].append(asyncio.run(append_to_store(files.fresh(), count, callers)))
    return rates


def measure_peer(files: Files) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {"append": [], "load": []}
    for _ in range(3):
        peer = Peer(files.fresh())
        rates["append"].append(peer.append(CALLERS))
        rates["load"].append(peer.loading())
        peer.app.close()
    return rates


class Table:
    """Prints each comparison and keeps it for the JSON."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        print(f"{'':44}{'ours/s':>10}{'other/s':>10}{'ratio':>8}{'at least':>10}")

    def add(self, name: str, ours: list[float], other: list[float], least: float) -> None:
        our, their = statistics.median(ours), statistics.median(other)
        ratio = our / their
        self.lines.append(
            {"name": name, "ours": our, "other": their, "ratio": ratio, "least": least}
        )
        verdict = "" if ratio >= least else "  missed"
        print(f"{name:44}{our:>10,.0f}{their:>10,.0f}{ratio:>8.2f}{least:>10}{verdict}", flush=True)


def measure(directory: str, *, peers: bool) -> dict[str, Any]:
    files, table = Files(directory), Table()
    together = measure_appending(files, EVENTS, CALLERS)
    table.add("256 at once, storage.commit : sqlite3", together["storage"], together["bare"], 0.35)
    table.add("256 at once, EventStore.append : sqlite3", together["store"], together["bare"], 0.35)
    alone = measure_appending(files, ALONE, 1)
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
