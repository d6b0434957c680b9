"""pyeventsourcing doing the same, as its applications for SQLite and PostgreSQL come."""

import time
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import SplitResult

import msgspec

from benchmarks._event_store_domain import LINE, LOADED

PEER_SECONDS = 2.0


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


class Saving:
    """Saves one new aggregate after another from many threads."""

    app: Any

    def append(self, callers: int) -> float:
        """Return events per second."""
        order = peer_order()
        counts = [0] * callers
        end = time.perf_counter() + PEER_SECONDS

        def caller(number: int) -> None:
            while time.perf_counter() < end:
                self.app.save(order(customer="c-1234567"))
                counts[number] += 1

        threads = [Thread(target=caller, args=(number,)) for number in range(callers)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)


class Peer(Saving):
    """An application of pyeventsourcing on SQLite, with the same event."""

    def __init__(self, path: Path) -> None:
        self.app = import_module("eventsourcing.application").Application(
            env={
                "PERSISTENCE_MODULE": "eventsourcing.sqlite",
                "SQLITE_DBNAME": str(path),
                "SQLITE_LOCK_TIMEOUT": "60",
            }
        )

    def loading(self) -> float:
        order = peer_order()(customer="c-1234567")
        for _ in range(LOADED - 1):
            order.trigger_event(order.LineWasAdded, **msgspec.structs.asdict(LINE))
        self.app.save(order)
        started = time.perf_counter()
        for _ in range(5):
            assert self.app.repository.get(order.id).version == LOADED
        return 5 * LOADED / (time.perf_counter() - started)


class PostgresPeer(Saving):
    """The same on PostgreSQL."""

    def __init__(self, url: SplitResult) -> None:
        self.app = import_module("eventsourcing.application").Application(
            env={
                "PERSISTENCE_MODULE": "eventsourcing.postgres",
                "POSTGRES_DBNAME": url.path.lstrip("/"),
                "POSTGRES_HOST": url.hostname or "",
                "POSTGRES_PORT": str(url.port or 5432),
                "POSTGRES_USER": url.username or "",
                "POSTGRES_PASSWORD": url.password or "",
                "POSTGRES_POOL_SIZE": "16",
            }
        )
