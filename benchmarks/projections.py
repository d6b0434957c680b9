"""How fast a projection catches up: one row change per event, on SQLite the bare limit beside it.

    python -m benchmarks.projections                # median of 5
    python -m benchmarks.projections --events 200000 --repeats 3
    python -m benchmarks.projections --postgres     # PostgreSQL too, on a server made for it

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
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion

bench = BoundedContext("bench")
KEYS = 5000
BATCH = 2000


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


async def catch_up(storage: str, events: int) -> float:
    """Return events per second from the start of an app until its projection has caught up."""
    app = App("bench", storage=storage)
    app.include(bench)
    started = time.perf_counter()
    async with app:
        await app.wait_for(SalesByProduct, events, timeout=300)
        return events / (time.perf_counter() - started)


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


async def on_postgres(url: str, events: int) -> float:
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
        for n in range(options.repeats):
            for name, results in (("ours", ours), ("bare", bare)):
                path = folder / f"{name}-{n}.db"
                shutil.copy(filled, path)
                if name == "ours":
                    results.append(asyncio.run(catch_up(f"sqlite:///{path}", options.events)))
                else:
                    results.append(limit(path, options.events))
                path.unlink()
        print(f"projection catch-up  {statistics.median(ours):>10,.0f} events/s")
        print(f"the same by hand     {statistics.median(bare):>10,.0f} events/s")
        print(f"ratio                {statistics.median(ours) / statistics.median(bare):>10.2f}")
        if options.postgres:
            with server_at(None) as url:
                rates = [
                    asyncio.run(on_postgres(url, options.events)) for _ in range(options.repeats)
                ]
            print(f"on PostgreSQL        {statistics.median(rates):>10,.0f} events/s")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
