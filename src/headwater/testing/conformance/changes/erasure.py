"""Events are erased and leave holes: nothing is numbered anew, and their ids stay known."""

import pytest
from msgspec.structs import replace

from headwater.errors import ConcurrencyError, IdempotencyConflictError, TagConditionError
from headwater.ports.changes import (
    Appended,
    Changes,
    Committed,
    RowGuard,
    StreamChange,
    TagCondition,
)
from headwater.ports.log import LogFilter, StreamInfo, StreamState
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import (
    append,
    appending,
    archive,
    changing,
    commit_all,
    new_event,
    new_events,
    positions,
    restore,
    row,
    tombstone,
    truncate,
    writing,
)
from headwater.testing.conformance.suite import FAR_FUTURE_US, StorageSuite

USERS = CollectionSpec(
    "users", ("id", "email"), (IndexedField("email", IndexKind.TEXT, unique=True),)
)


async def versions(storage: Storage, *, from_version: int = 1) -> list[int]:
    """Return the versions of stream order-1 that are there, both ways of reading them agreeing."""
    events = await storage.read_stream("order-1", from_version=from_version)
    payloads = await storage.read_payloads("order-1", from_version=from_version)
    found = [event.version for event in events]
    assert [one[0] for one in payloads] == found
    backwards = await storage.read_stream("order-1", backwards=True)
    assert [event.version for event in backwards if event.version >= from_version] == found[::-1]
    return found


class ErasureConformance(StorageSuite):
    """What is gone after a truncation or a tombstone, and what is still known."""

    async def test_a_truncation_erases_what_is_below_a_version(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(3)))
        await storage.commit(appending("order-2", *new_events(3)))

        committed = await storage.commit(changing(truncate("order-1", 3)))

        assert committed == Committed()
        assert await versions(storage) == [3]
        assert await positions(storage) == [3, 4, 5, 6]
        assert await storage.stream_info("order-1") == StreamInfo("order-1", 3, 3)
        assert await storage.read_stream("order-1", from_version=2, backwards=True) == ()
        assert len(await storage.read_stream("order-1", limit=1)) == 1

    @pytest.mark.parametrize("before_version", [-1, 0, 1])
    async def test_a_truncation_before_the_first_version_erases_nothing(
        self, storage: Storage, before_version: int
    ) -> None:
        await storage.commit(appending("order-1", *new_events(2)))

        await storage.commit(changing(truncate("order-1", before_version)))

        assert await versions(storage) == [1, 2]
        assert await storage.stream_info("order-1") == StreamInfo("order-1", 2, 1)

    async def test_a_truncation_past_the_end_erases_all_that_is_there_and_nothing_that_comes(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-1", *new_events(2)))

        await storage.commit(changing(truncate("order-1", 100), truncate("order-2", 100)))
        await storage.commit(appending("order-1", *new_events(2)))
        await storage.commit(appending("order-2", *new_events(2)))

        assert await versions(storage) == [3, 4]
        assert await storage.stream_info("order-2") == StreamInfo("order-2", 2, 1)

    async def test_versions_and_positions_go_on_after_an_erasure(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(3)))
        await storage.commit(changing(truncate("order-1", 4)))
        assert await storage.head() == 3

        with pytest.raises(ConcurrencyError) as refusal:
            await storage.commit(
                appending("order-1", new_event(), expected=ExpectedVersion.no_stream())
            )
        committed = await storage.commit(
            appending("order-1", new_event(), expected=ExpectedVersion.exactly(3))
        )

        assert refusal.value.actual == 3
        assert committed == Committed(4, (Appended("order-1", 4, 4),))
        assert await versions(storage) == [4]
        assert await positions(storage) == [4]

    async def test_an_erased_stream_keeps_its_version_over_the_next_open_and_a_prune(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-1", *new_events(3)))
        await storage.commit(changing(truncate("order-1", 9)))

        await storage.prune(before=FAR_FUTURE_US)
        await storage.close()
        await storage.open()

        assert await storage.head() == 3
        committed = await storage.commit(appending("order-1", new_event()))
        assert committed == Committed(4, (Appended("order-1", 4, 4),))

    async def test_a_stream_can_be_truncated_again_and_never_back(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(5)))

        seen: list[list[int]] = []
        for before_version in (3, 2, 4, 4):
            await storage.commit(changing(truncate("order-1", before_version)))
            seen.append(await versions(storage))

        assert seen == [[3, 4, 5], [3, 4, 5], [4, 5], [4, 5]]
        assert await versions(storage, from_version=5) == [5]

    async def test_an_archived_stream_can_be_truncated(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(3)))
        await storage.commit(changing(archive("order-1")))

        await storage.commit(changing(truncate("order-1", 3)))

        archived = StreamInfo("order-1", 3, 3, StreamState.ARCHIVED)
        assert await storage.stream_info("order-1") == archived
        assert await positions(storage) == []
        await storage.commit(changing(restore("order-1")))
        assert await positions(storage) == [3]

    async def test_a_tombstone_erases_all_events_of_its_stream(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(2)))
        await storage.commit(appending("order-10", new_event()))

        await storage.commit(changing(tombstone("order-1")))

        assert await versions(storage) == []
        assert await positions(storage, LogFilter(archived=True)) == [3]

    async def test_a_long_stream_is_read_on_past_what_was_erased(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(1500)))
        await storage.commit(changing(truncate("order-1", 1201)))

        assert await versions(storage) == list(range(1201, 1501))
        payloads = await storage.read_payloads("order-1", limit=7)
        assert [one[0] for one in payloads] == list(range(1201, 1208))
        assert len(await storage.read_stream("order-1", limit=7)) == 7

    # ------------------------------------------------------------------------ what is known

    @pytest.mark.parametrize("change", [truncate("order-1", 9), tombstone("order-1")], ids=str)
    async def test_an_append_of_erased_events_repeats_the_first_one_whatever_its_content(
        self, storage: Storage, change: StreamChange
    ) -> None:
        first, second, third = events = new_events(3)
        committed = await storage.commit(appending("order-1", *events))
        await storage.commit(changing(change))
        others = replace(first, data="0"), replace(second, type="sales.other"), third

        again = await storage.commit(
            appending("order-1", *others, expected=ExpectedVersion.no_stream())
        )
        part = await storage.commit(appending("order-1", second))

        assert again == committed
        assert part == Committed(2, (Appended("order-1", 2, 2),))
        assert await storage.head() == 3

    async def test_a_repetition_can_be_of_events_that_are_erased_and_some_that_are_not(
        self, storage: Storage
    ) -> None:
        first, second = new_events(2)
        committed = await storage.commit(appending("order-1", first, second))
        await storage.commit(changing(truncate("order-1", 2)))

        assert await storage.commit(appending("order-1", first, second)) == committed
        with pytest.raises(IdempotencyConflictError):
            await storage.commit(appending("order-1", first, replace(second, data="0")))

    async def test_erased_ids_still_conflict_in_another_stream_order_or_company(
        self, storage: Storage
    ) -> None:
        first, second = new_events(2)
        await storage.commit(appending("order-1", first, second))
        await storage.commit(changing(truncate("order-1", 9)))

        for changes in (
            appending("order-2", first),
            appending("order-1", second, first),
            appending("order-1", first, new_event()),
            appending("order-1", new_event(), second),
            appending("order-1", first, first),
        ):
            with pytest.raises(IdempotencyConflictError):
                await storage.commit(changes)

    async def test_an_event_that_comes_again_in_the_batch_that_erases_it_is_a_repetition(
        self, storage: Storage
    ) -> None:
        old, new = new_events(2)
        await storage.commit(appending("order-1", old))

        results = await commit_all(
            storage,
            [
                appending("order-1", new),
                changing(truncate("order-1", 9)),
                appending("order-1", replace(old, data="0"), replace(new, data="0")),
                appending("order-1", new_event()),
            ],
        )

        assert [r.position if isinstance(r, Committed) else r for r in results] == [2, 0, 2, 3]
        assert await versions(storage) == [3]

    async def test_a_pruned_event_counts_as_new(self, storage: Storage) -> None:
        event = new_event()
        await storage.commit(appending("order-1", event))
        await storage.commit(changing(truncate("order-1", 9)))
        await storage.prune(before=FAR_FUTURE_US)

        committed = await storage.commit(appending("order-1", event))

        assert committed == Committed(2, (Appended("order-1", 2, 2),))

    @pytest.mark.parametrize("types", [frozenset[str](), frozenset({"sales.sold"})], ids=len)
    async def test_a_tag_condition_counts_an_erased_event_until_it_is_pruned(
        self, storage: Storage, types: frozenset[str]
    ) -> None:
        sold = new_event("sales.sold", tags=("seat:1", "hall:1"))
        await storage.commit(appending("seat-1", new_event(), sold))
        await storage.commit(changing(tombstone("seat-1")))

        for tags in (("seat:1",), ("hall:1", "seat:1"), ()):
            with pytest.raises(TagConditionError) as refusal:
                await storage.commit(Changes(conditions=(TagCondition(tags, 1, types),)))
            assert refusal.value.position == 2
        await storage.commit(Changes(conditions=(TagCondition(("seat:1",), 2, types),)))
        others = frozenset({"sales.lost"})
        await storage.commit(Changes(conditions=(TagCondition(("seat:1",), 0, others),)))

        await storage.prune(before=FAR_FUTURE_US)
        await storage.commit(Changes(conditions=(TagCondition(("seat:1",), 0, types),)))

    async def test_a_tag_condition_does_not_count_erased_events_that_are_repeated(
        self, storage: Storage
    ) -> None:
        decided = Changes(
            appends=(append("seat-1", new_event(tags=("seat:1",))),),
            conditions=(TagCondition(("seat:1",), 0),),
        )
        first = await storage.commit(decided)
        await storage.commit(changing(tombstone("seat-1")))

        assert await storage.commit(decided) == first

    async def test_rows_are_untouched_by_what_happens_to_streams(self, storage: Storage) -> None:
        await storage.prepare_collections([USERS])
        await storage.commit(
            Changes(appends=(append("user-1", new_event()),), rows=(row("users", "1", "a"),))
        )
        before = await storage.get_rows("users", ["1"])

        await storage.commit(changing(tombstone("user-1")))
        await storage.commit(Changes(guards=(RowGuard("users", "1", before["1"].version),)))
        await storage.commit(writing(row("users", "2", "b")))

        assert (await storage.get_rows("users", ["1", "2"])).keys() == {"1", "2"}
