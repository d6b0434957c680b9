"""Snapshots and caches in a running app."""

from pathlib import Path

import msgspec
import pytest

from headwater import (
    Aggregate,
    App,
    BoundedContext,
    Command,
    Decider,
    Event,
    ExpectedVersion,
    RawEvent,
    Repository,
    Snapshots,
    applies,
)
from headwater.errors import WiringError
from headwater.operations.snapshots import SNAPSHOTS
from headwater.ports.storage import Storage


class Counted(Event, context="stock", version=2):
    item: str
    pieces: int


class Labelled(Event, context="stock"):
    item: str
    label: str


class Shelf(Aggregate[str], context="stock", snapshots=Snapshots(every=2), cache=100):
    pieces: int = 0
    labels: list[str] = []  # noqa: RUF012 - copied for each instance

    def count(self, pieces: int) -> None:
        self.record(Counted(self.id, pieces))

    @applies
    def _counted(self, event: Counted) -> None:
        self.pieces += event.pieces

    @applies
    def _labelled(self, event: Labelled) -> None:
        self.labels.append(event.label)


class Count(Command[int], context="stock"):
    item: str
    pieces: int


def new_app(storage: str | Storage) -> App:
    stock = BoundedContext("stock")
    app = App("shop", storage=storage)

    @stock.handler
    async def count(command: Count, shelves: Repository[Shelf]) -> int:
        shelf = await shelves.find(command.item)
        if shelf is None:
            shelf = Shelf(command.item)
            shelves.add(shelf)
        shelf.count(command.pieces)
        return shelf.pieces

    @stock.upcaster("stock.counted", version=1, to=["stock.labelled", ("stock.counted", 2)])
    def split(data: dict[str, object]) -> list[tuple[str, int, dict[str, object]]]:
        label = {"item": data["item"], "label": data.pop("label")}
        return [("stock.labelled", 1, label), ("stock.counted", 2, data)]

    @stock.upcaster("stock.dusted", version=1, to=[])
    def drop(data: dict[str, object]) -> list[tuple[str, int, dict[str, object]]]:
        return []

    assert callable(count)
    app.include(stock)
    return app


async def test_the_stop_writes_what_waits_and_the_next_start_uses_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    async with new_app(url) as app:
        for pieces in (1, 2, 3, 4, 5):
            await app.send(Count("cd", pieces))

    async with new_app(url) as app:
        rows = await app.storage.get_rows(SNAPSHOTS.name, ("stock.shelf-cd",))
        assert msgspec.json.decode(rows["stock.shelf-cd"].data)["version"] >= 2
        assert await app.send(Count("cd", 6)) == 21


async def test_a_version_counts_stored_events_not_what_upcasters_make_of_them(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    old = RawEvent("stock.counted", b'{"item":"cd","pieces":1,"label":"new"}', 1)
    dusted = RawEvent("stock.dusted", b"{}", 1)
    async with new_app(url) as app:
        expected = ExpectedVersion.no_stream()
        await app.event_store.append(
            "stock.shelf-cd", [dusted, old, old, dusted], expected=expected
        )

    # From the log, from a snapshot, and from a copy in memory.
    for n in (5, 7):
        async with new_app(url) as app:
            for _ in range(2):
                await app.send(Count("cd", 10))
            shelf = await app.event_store.repository(Shelf).get("cd")
            assert (shelf.version, shelf.labels) == (n + 1, ["new", "new"])
            assert shelf.pieces == 2 + 10 * (n - 3)


async def test_states_that_can_not_be_read_back_are_faults_of_the_wiring() -> None:
    class Handle:
        """No record of any kind."""

    class View(Aggregate[str], context="stock", snapshots=Snapshots(every=1)):
        handle: Handle | None = None

        @applies
        def _counted(self, event: Counted) -> None: ...

    def decide(command: int, state: Handle) -> list[Counted]:
        return []

    def evolve(state: Handle, event: Counted) -> Handle:
        return state

    stock = BoundedContext("stock")
    stock.register(View)
    stock.decider(
        Decider(
            name="view",
            initial=Handle(),
            decide=decide,
            evolve=evolve,
            events=(Counted,),
            snapshots=Snapshots(every=1),
        )
    )
    app = App("shop")
    app.include(stock)

    with pytest.raises(WiringError) as told:
        app.check()

    assert len(told.value.faults) == 2
    assert all("Handle" in fault.problem for fault in told.value.faults)
