"""The cache of loaded states: it saves reading, and never decides."""

import asyncio
from typing import Any, cast

import pytest

from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.errors import ConcurrencyError, RefusedError
from headwater.ports.changes import Append, Changes, NewEvent, StreamAction, StreamChange
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units
from tests.unit_of_work.counting import CountingStorage
from tests.unit_of_work.ledger import CachedLedger, Entered, Ledger, enter, entries, new_units, sums


class Switchable:
    """A storage behind which another one can be put, as after a failover."""

    def __init__(self, inner: CountingStorage) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def opened() -> CountingStorage:
    storage = CountingStorage()
    await storage.open()
    return storage


@pytest.fixture
async def counting() -> CountingStorage:
    return await opened()


@pytest.fixture
def units(counting: CountingStorage) -> Units:
    return new_units(counting)


async def test_only_the_missing_tail_is_read(units: Units, counting: CountingStorage) -> None:
    await enter(units, *range(50))
    await entries(units, cls=CachedLedger)
    await enter(new_units(counting), 50, 51)
    counting.reads()

    assert await entries(units, cls=CachedLedger) == [*range(52)]

    # The event that the copy stands for is read along.
    assert counting.reads() == 3


async def test_the_version_goes_on_from_the_copy(units: Units) -> None:
    await enter(units, 1, 2)
    for n in (3, 4, 5):
        await enter(units, n, cls=CachedLedger)

    ledger = await units.new().repository(CachedLedger).get("7")

    assert (ledger.entries, ledger.version) == ([1, 2, 3, 4, 5], 5)


async def test_what_a_handler_did_to_its_aggregate_and_did_not_commit_is_not_kept(
    units: Units,
) -> None:
    async def change_my_mind(unit: UnitOfWork) -> None:
        ledger = await unit.repository(CachedLedger).get("7")
        ledger.enter(99)
        ledger.entries.append(100)
        raise RefusedError("changed my mind")

    await enter(units, 1, cls=CachedLedger)
    for _ in range(2):
        with pytest.raises(RefusedError):
            await units.run(change_my_mind)

    assert await entries(units, cls=CachedLedger) == [1]


async def test_a_commit_that_conflicts_leaves_nothing_behind_either(units: Units) -> None:
    await enter(units, 1)
    stale = units.new()
    (await stale.repository(CachedLedger).get("7")).enter(2)
    await enter(units, 3)

    with pytest.raises(ConcurrencyError):
        await stale.commit()

    assert await entries(units, cls=CachedLedger) == [1, 3]


async def test_two_at_once_get_an_instance_each(units: Units) -> None:
    await enter(units, 1, cls=CachedLedger)
    await entries(units, cls=CachedLedger)

    first, second = [
        await units.new(reads_only=True).repository(CachedLedger).get("7") for _ in range(2)
    ]
    first.entries.append(2)

    assert second.entries == [1]


async def test_contenders_with_caches_lose_nothing(counting: CountingStorage) -> None:
    processes = [new_units(counting) for _ in range(3)]
    await enter(processes[0], 0)

    async def deposit(units: Units, n: int) -> None:
        async def work(unit: UnitOfWork) -> None:
            (await unit.repository(CachedLedger).get("7")).enter(n)

        await units.run(work)

    await asyncio.gather(
        *[deposit(units, 10 * n + k) for k, units in enumerate(processes) for n in range(1, 6)]
    )

    found = await entries(processes[0], cls=CachedLedger)
    assert found == await entries(new_units(counting))
    assert sorted(found) == sorted([0, *[10 * n + k for k in range(3) for n in range(1, 6)]])


async def test_the_one_that_was_not_used_for_longest_goes_first(
    units: Units, counting: CountingStorage
) -> None:
    for id in ("a", "b", "c"):
        await enter(units, *range(10), id=id)
    for id in ("a", "b", "a", "c"):
        await entries(units, id=id, cls=CachedLedger)
    counting.reads()

    for id in ("a", "c"):
        await entries(units, id=id, cls=CachedLedger)
    assert counting.reads() == 2
    await entries(units, id="b", cls=CachedLedger)
    assert counting.reads() > 10


async def test_a_log_that_was_rewound_empties_the_whole_cache(counting: CountingStorage) -> None:
    storage = Switchable(counting)
    units = new_units(cast("Storage", storage))
    for id in ("7", "8"):
        await enter(units, 1, 2, id=id)
        await entries(units, id=id, cls=CachedLedger)
    other = await opened()
    await enter(new_units(other), 3, 4, 5)
    storage.inner = other

    assert await entries(units, cls=CachedLedger) == [3, 4, 5]

    cache = units.aggregate_type(CachedLedger).cache
    assert cache is not None
    assert len(cache) == 0
    assert await units.new().repository(CachedLedger).find("8") is None


async def test_a_log_that_was_rewound_and_then_erased_is_not_believed(
    counting: CountingStorage,
) -> None:
    storage = Switchable(counting)
    units = new_units(cast("Storage", storage))
    await enter(units, 1, 2)
    await entries(units, cls=CachedLedger)
    other = await opened()
    await enter(new_units(other), 3, 4, 5)
    change = StreamChange("app.ledger-7", StreamAction.TRUNCATE, 3)
    await other.commit(Changes(streams=(change,)))
    storage.inner = other

    assert await entries(units, cls=CachedLedger) == [5]


async def test_a_long_tail_is_read_to_its_end(units: Units, counting: CountingStorage) -> None:
    await enter(units, 0)
    await entries(units, cls=CachedLedger)
    events = tuple(
        NewEvent(n.to_bytes(16, "big"), "app.entered", 1, f'{{"cents":{n}}}', 0)
        for n in range(1, 1500)
    )
    append = Append("app.ledger-7", ExpectedVersion.exactly(1), events)
    await counting.commit(Changes((append,)))

    assert await entries(units, cls=CachedLedger) == [*range(1500)]
    counting.reads()
    assert await entries(units, cls=CachedLedger) == [*range(1500)]
    assert counting.reads() == 1


async def test_an_int_and_its_text_are_one_stream_but_not_one_id(units: Units) -> None:
    await enter(units, 1, cls=CachedLedger)

    as_text = await units.new().repository(CachedLedger).get("7")
    as_number = await units.new().repository(CachedLedger).get(7)

    ids: list[object] = [as_text.id, as_number.id]
    assert ids == ["7", 7]


async def test_what_can_not_be_copied_is_not_cached(
    units: Units, counting: CountingStorage, caplog: pytest.LogCaptureFixture
) -> None:
    class Handle(CachedLedger, name="ledger"):
        @applies
        def _entered(self, event: Entered) -> None:
            self.entries.append(event.cents)
            vars(self)["view"] = memoryview(b"")

    await enter(units, 1)

    for _ in range(2):
        assert await entries(units, cls=Handle) == [1]
    assert "Handle is not cached: memoryview can't be copied" in caplog.text


async def test_a_deciders_state_is_cached_too(units: Units, counting: CountingStorage) -> None:
    await enter(units, *range(50))
    decider = sums(cache=10)
    await units.decider_type(decider).load("7")
    await enter(new_units(counting), 50)
    counting.reads()

    async with units.unit_of_work() as unit:
        await unit.decide(decider, "7", 51)
        await unit.decide(decider, "7", 52)

    assert counting.reads() == 3
    assert await entries(units) == [*range(53)]


async def test_dropped_caches_are_not_filled_by_what_was_loading(
    counting: CountingStorage,
) -> None:
    class Dropping(CountingStorage):
        drop: Any = None

        async def read_payloads(self, *args: Any, **options: Any) -> Any:
            page = await super().read_payloads(*args, **options)
            if self.drop is not None:
                self.drop()
            return page

    storage = Dropping()
    await storage.open()
    units = new_units(storage)
    await enter(units, 1)
    storage.drop = units.drop_caches

    await entries(units, cls=CachedLedger)

    cache = units.aggregate_type(CachedLedger).cache
    assert cache is not None
    assert len(cache) == 0


async def test_an_aggregate_made_with_a_shared_list_keeps_it_shared(units: Units) -> None:
    class Sharing(CachedLedger, name="ledger"):
        same: list[int] = []  # noqa: RUF012 - copied for each instance

        @applies
        def _entered(self, event: Entered) -> None:
            self.same = self.entries
            self.entries.append(event.cents)

    await enter(units, 1, 2)
    await units.new().repository(Sharing).get("7")
    await enter(units, 3)

    ledger = await units.new().repository(Sharing).get("7")

    assert ledger.same is ledger.entries
    assert ledger.entries == [1, 2, 3]


def test_classes_without_a_cache_have_none(units: Units) -> None:
    assert units.aggregate_type(Ledger).cache is None
    assert issubclass(CachedLedger, Aggregate)
