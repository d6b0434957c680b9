"""How fast a projection is built: one row change per event, on SQLite the bare limit beside it.

    python -m benchmarks.projections                # median of 5
    python -m benchmarks.projections --events 1000000 --repeats 1
    python -m benchmarks.projections --postgres     # PostgreSQL too, on a server made for it

First it catches up from the beginning of the log; then it is rebuilt beside its live rows; and what
it costs readers to look which rows are live, next to reads of a table that never moves.

The limit reads the log with plain sqlite3, decodes with msgspec, calls the same pure function,
and upserts the same rows in transactions of the same size, in one thread and with no checkpoint.
"""

import argparse
import asyncio
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import asyncpg
import msgspec

from benchmarks._postgres_server import server_at
from headwater import App, BoundedContext, Event, Projection, ReadModel, applies
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.app.storages import storage_of
from headwater.clock import SystemClock
from headwater.ids import new_id
from headwater.ports.changes import Append, Changes, NewEvent
from headwater.ports.rows import RowQuery
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.row_type import RowType

bench = BoundedContext("bench")
KEYS = 5000
BATCH = 2000
READ_ROUNDS = 9


class Sold(Event):
    product: str
    pieces: int
    price: Decimal


class Sales(ReadModel, key="product"):
    product: str
    pieces: int
    revenue: Decimal


@bench.projection
class SalesByProduct(Projection[Sales]):
    @applies
    def sold(self, event: Sold, row: Sales | None) -> Sales:
        pieces, revenue = (row.pieces, row.revenue) if row else (0, Decimal(0))
        return Sales(event.product, pieces + event.pieces, revenue + event.price)


async def fill(storage: Storage, events: int) -> None:
    """Append *events*, one stream per product, in large commits."""
    await storage.open()
    encode = msgspec.json.Encoder().encode
    for start in range(0, events, BATCH):
        appends = [
            Append(
                f"bench.product-{n % KEYS}",
                ExpectedVersion.ANY,
                (
                    NewEvent(
                        new_id().bytes,
                        "bench.sold",
                        1,
                        encode(Sold(f"p{n % KEYS}", 1, Decimal("9.99"))).decode(),
                        time.time_ns() // 1000,
                    ),
                ),
            )
            for n in range(start, min(start + BATCH, events))
        ]
        await storage.commit(Changes(tuple(appends)))
    await storage.close()


async def catch_up(storage: str, events: int) -> tuple[float, float]:
    """Return events per second from the start of an app until its projection has caught up, and
    then from the beginning of a rebuild until that has."""
    app = App("bench", storage=storage)
    app.include(bench)
    started = time.perf_counter()
    async with app:
        await app.wait_for(SalesByProduct, events, timeout=300)
        caught_up, started = time.perf_counter() - started, time.perf_counter()
        await app.projections.rebuild(SalesByProduct)
        await app.projections.wait(SalesByProduct, timeout=300)
        return events / caught_up, events / (time.perf_counter() - started)


async def reads(storage: str, times: int = 500) -> tuple[float, float]:
    """Return what `get` and `find` cost, as parts of the same reads of a table that never moves."""
    app = App("bench", storage=storage)
    app.include(bench)
    async with app, app.event_store.unit_of_work() as unit:
        rows = unit.collection(Sales)
        type_ = RowType(Sales, context="bench", codec=app.catalogue().codec)
        type_ = type_.in_collection(
            (await app.projections.live("bench.sales-by-product")).collection
        )
        query = RowQuery(limit=100)

        async def get() -> None:
            await rows.get("p7")

        async def bare_get() -> None:
            type_.decode((await app.storage.get_rows(type_.name, ("p7",)))["p7"])

        async def find() -> None:
            await rows.find(limit=100)

        async def bare_find() -> None:
            [type_.decode(row) for row in await app.storage.find_rows(type_.name, query)]

        async def seconds(read: Callable[[], Awaitable[None]]) -> float:
            started = time.perf_counter()
            for _ in range(times):
                await read()
            return time.perf_counter() - started

        # Each in turn, so that what else the machine does meets all alike.
        kinds = (get, bare_get, find, bare_find)
        rounds = [[await seconds(read) for read in kinds] for _ in range(READ_ROUNDS)]
        taken = dict(zip(kinds, map(statistics.median, zip(*rounds, strict=True)), strict=True))
    return taken[get] / taken[bare_get], taken[find] / taken[bare_find]


def limit(path: Path, events: int) -> float:
    """Return events per second of the same work by hand."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma synchronous=full")
    connection.execute("create table by_hand(key text primary key, data text not null)")
    decode, encode = msgspec.json.Decoder(Sold).decode, msgspec.json.Encoder().encode
    decode_row = msgspec.json.Decoder(Sales).decode
    fold = SalesByProduct().sold
    started, position = time.perf_counter(), 0
    while position < events:
        page = connection.execute(
            "select position, data from headwater_events where position > ? "
            "order by position limit ?",
            (position, BATCH),
        ).fetchall()
        position = page[-1][0]
        rows: dict[str, Sales] = {}
        for _, data in page:
            event = decode(data)
            row = rows.get(event.product)
            if row is None:
                stored = connection.execute(
                    "select data from by_hand where key = ?", (event.product,)
                ).fetchone()
                row = decode_row(stored[0]) if stored else None
            rows[event.product] = fold(event, row)
        connection.execute("begin immediate")
        connection.executemany(
            "insert into by_hand values (?, ?) on conflict do update set data = excluded.data",
            [(key, encode(row).decode()) for key, row in rows.items()],
        )
        connection.execute("commit")
    seconds = time.perf_counter() - started
    connection.close()
    return events / seconds


async def on_postgres(url: str, events: int) -> tuple[float, float]:
    """Return events per second on a schema of its own in the database at *url*."""
    schema = f"bench_{new_id().hex}"
    storage = f"{url}?schema={schema}&auto_migrate=true"
    await fill(storage_of(storage, clock=SystemClock()), events)
    rate = await catch_up(storage, events)
    connection = await asyncpg.connect(url)
    await connection.execute(f"DROP SCHEMA {schema} CASCADE")
    await connection.close()
    return rate


def main() -> None:
    """Run, and print events per second and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headwater-bench-"))
    try:
        filled = folder / "filled.db"
        asyncio.run(fill(SqliteStorage(filled), options.events))
        ours: list[float] = []
        bare: list[float] = []
        beside: list[float] = []
        costs = (0.0, 0.0)
        for n in range(options.repeats):
            for name, results in (("ours", ours), ("bare", bare)):
                path = folder / f"{name}-{n}.db"
                shutil.copy(filled, path)
                if name == "ours":
                    rates = asyncio.run(catch_up(f"sqlite:///{path}", options.events))
                    results.append(rates[0])
                    beside.append(rates[1])
                    costs = asyncio.run(reads(f"sqlite:///{path}"))
                else:
                    results.append(limit(path, options.events))
                path.unlink()
        print(f"projection catch-up  {statistics.median(ours):>10,.0f} events/s")
        print(f"the same by hand     {statistics.median(bare):>10,.0f} events/s")
        print(f"ratio                {statistics.median(ours) / statistics.median(bare):>10.2f}")
        print(f"rebuild beside       {statistics.median(beside):>10,.0f} events/s")
        print(f"a get costs          {costs[0]:>10.2f} of one that never moves")
        print(f"a find of 100 costs  {costs[1]:>10.2f}")
        if options.postgres:
            with server_at(None) as url:
                found = [
                    asyncio.run(on_postgres(url, options.events)) for _ in range(options.repeats)
                ]
            for name, rates_of in zip(
                ("on PostgreSQL", "rebuild beside"), zip(*found, strict=True), strict=True
            ):
                print(f"{name:<20} {statistics.median(rates_of):>10,.0f} events/s")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
