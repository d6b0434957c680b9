"""Loading an aggregate of 1,000 events: the limit, the storage, and a repository, in turns."""

import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks._event_store_domain import (
    LOADED,
    NEW,
    TYPES,
    Files,
    LineAdded,
    LineRemoved,
    Order,
    OrderOpened,
    thousand_events,
)
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.event_store import EventStore
from headwater.ids import new_id

REPEATS = 7
LOADS = 40


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
