"""Commits that wait together behave as if done one by one, in the order in which they came."""

import asyncio

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    CheckpointConflictError,
    ConcurrencyError,
    DuplicateValueError,
    IdempotencyConflictError,
    ReceiptExistsError,
    RowConflictError,
    StorageError,
    TagConditionError,
)
from headwater.ports.changes import (
    Changes,
    CheckpointMove,
    Committed,
    NewReceipt,
    TagCondition,
)
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind
from headwater.ports.storage import COMMITS_WAITING_MAX, Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import (
    append,
    appending,
    commit_all,
    id_bytes,
    new_event,
    new_events,
    row,
    whole_log,
    writing,
)
from headwater.testing.conformance.outcomes import outcome_of
from headwater.testing.conformance.suite import StorageSuite, UnsteadyClock

USERS = CollectionSpec(
    "users", ("id", "email"), (IndexedField("email", IndexKind.TEXT, unique=True),)
)


def outcomes(results: list[Committed | BaseException]) -> list[int | type[BaseException]]:
    """Return the position of each commit that was done, the error's type for each refused one."""
    return [r.position if isinstance(r, Committed) else type(r) for r in results]


class BatchesConformance(StorageSuite):
    """Each commit of a batch is accepted or refused alone."""

    async def test_commits_are_done_in_the_order_in_which_they_came(self, storage: Storage) -> None:
        results = await commit_all(
            storage, [appending(f"order-{n % 3}", new_event(data=f"{n}")) for n in range(100)]
        )

        assert outcomes(results) == list(range(1, 101))
        assert [event.data for event in await whole_log(storage)] == [str(n) for n in range(100)]

    async def test_many_writers_that_expect_a_new_stream_get_one_winner(
        self, storage: Storage
    ) -> None:
        results = await commit_all(
            storage,
            [
                appending("order-1", *new_events(2), expected=ExpectedVersion.no_stream())
                for _ in range(20)
            ],
        )

        assert outcomes(results) == [2] + [ConcurrencyError] * 19
        assert {r.actual for r in results if isinstance(r, ConcurrencyError)} == {2}

    async def test_a_commit_builds_on_those_before_it_in_its_batch(self, storage: Storage) -> None:
        results = await commit_all(
            storage,
            [
                appending("order-1", new_event(), expected=ExpectedVersion.exactly(version))
                for version in (0, 1, 1, 3, 2, 3, 0)
            ],
        )

        refused = ConcurrencyError
        assert outcomes(results) == [1, 2, refused, refused, 3, 4, refused]
        assert [event.version for event in await storage.read_stream("order-1")] == [1, 2, 3, 4]

    async def test_one_event_that_comes_many_times_at_once_is_appended_once(
        self, storage: Storage
    ) -> None:
        changes = appending("order-1", new_event(), expected=ExpectedVersion.no_stream())

        results = await commit_all(storage, [changes] * 20)

        assert outcomes(results) == [1] * 20
        assert await storage.head() == 1

    async def test_one_id_with_different_contents_at_once_gets_one_winner(
        self, storage: Storage
    ) -> None:
        id = id_bytes()

        results = await commit_all(
            storage, [appending("order-1", new_event(data=data, id=id)) for data in "1213"]
        )

        conflict = IdempotencyConflictError
        assert outcomes(results) == [1, conflict, 1, conflict]

    async def test_many_decisions_on_one_tag_at_once_get_one_winner(self, storage: Storage) -> None:
        results = await commit_all(
            storage,
            [
                Changes(
                    appends=(append(f"seat-{n}", new_event(tags=("seat:1",))),),
                    conditions=(TagCondition(("seat:1",), 0),),
                )
                for n in range(10)
            ],
        )

        assert outcomes(results) == [1] + [TagConditionError] * 9
        assert {r.position for r in results if isinstance(r, TagConditionError)} == {1}

    async def test_many_rows_with_one_unique_value_at_once_get_one_winner(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([USERS])

        results = await commit_all(
            storage,
            [
                Changes(appends=(append(f"user-{n}", new_event()),), rows=(row("users", n, "a"),))
                for n in "123"
            ],
        )

        assert outcomes(results) == [1, DuplicateValueError, DuplicateValueError]
        assert set(await storage.get_rows("users", list("123"))) == {"1"}

    async def test_many_guarded_writers_of_one_row_at_once_get_one_winner(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([USERS])

        results = await commit_all(
            storage, [writing(row("users", "1", email, expected=0)) for email in "abc"]
        )

        assert outcomes(results) == [0, RowConflictError, RowConflictError]

    async def test_many_workers_on_one_partition_at_once_get_one_winner(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)

        results = await commit_all(
            storage,
            [Changes(checkpoints=(CheckpointMove("totals", 0, 0, to),)) for to in (5, 6, 7)],
        )

        assert outcomes(results) == [0, CheckpointConflictError, CheckpointConflictError]
        checkpoints = await storage.open_subscription("totals", partitions=1, start_after=0)
        assert list(checkpoints) == [Checkpoint(5)]

    async def test_one_message_that_comes_many_times_at_once_is_handled_once(
        self, storage: Storage
    ) -> None:
        message = id_bytes()

        results = await commit_all(
            storage,
            [
                Changes(
                    appends=(append("order-1", new_event()),),
                    receipts=(NewReceipt("orders", message, digest, "null"),),
                )
                for digest in (b"d", b"d", b"other", b"d")
            ],
        )

        exists, conflict = ReceiptExistsError, IdempotencyConflictError
        assert outcomes(results) == [1, exists, conflict, exists]

    async def test_a_refused_commit_in_a_batch_leaves_nothing_to_those_behind_it(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([USERS])
        await storage.commit(writing(row("users", "1", "taken")))
        event, message = new_event(tags=("seat:1",)), id_bytes()
        refused = Changes(
            appends=(append("order-1", event),),
            receipts=(NewReceipt("orders", message, b"d", "1"),),
            rows=(row("users", "2", "free"), row("users", "3", "taken")),
        )
        accepted = Changes(
            appends=(append("order-1", event, expected=ExpectedVersion.no_stream()),),
            conditions=(TagCondition(("seat:1",), 0),),
            receipts=(NewReceipt("orders", message, b"e", "2"),),
            rows=(row("users", "4", "free"), row("users", "2", "also free", expected=0)),
        )

        results = await commit_all(storage, [refused, accepted, refused])

        assert outcomes(results) == [DuplicateValueError, 1, IdempotencyConflictError]
        assert set(await storage.get_rows("users", list("1234"))) == {"1", "2", "4"}

    async def test_a_commit_that_cannot_be_stored_does_not_hurt_its_batch(
        self, storage: Storage
    ) -> None:
        not_text = "\ud800"

        results = await commit_all(
            storage,
            [
                appending("order-1", new_event(data="1")),
                appending("order-1", new_event(), new_event(data=not_text)),
                appending("order-1", new_event(data="2")),
                appending("order-1", new_event(actor=not_text)),
                appending("order-1", new_event(tags=("a", not_text))),
                appending("order-1", new_event(data="3")),
            ],
        )

        assert [r.position for r in results if isinstance(r, Committed)] == [1, 2, 3]
        failed = [type(r) for r in results if not isinstance(r, Committed)]
        assert all(issubclass(error, StorageError | ValueError) for error in failed)
        assert [event.data for event in await whole_log(storage)] == ["1", "2", "3"]

    async def test_a_batch_ends_as_the_same_commits_one_by_one_would(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        alone = MemoryStorage(clock)
        await alone.open()
        for each in (storage, alone):
            await each.prepare_collections([USERS])
            await each.open_subscription("totals", partitions=2, start_after=0)
        ids = [id_bytes() for _ in range(7)]

        def kind(n: int) -> Changes:
            expected = ExpectedVersion.exactly(n % 5) if n % 2 else ExpectedVersion.any()
            event = new_event(id=ids[n % 7], data=f"{n % 3}", tags=(f"tag:{n % 4}",))
            return [
                appending(f"order-{n % 2}", event, expected=expected),
                writing(row("users", str(n % 4), f"{n % 5}", expected=0 if n % 6 else None)),
                Changes(checkpoints=(CheckpointMove("totals", n % 2, n // 20, n // 20 + 1),)),
                Changes(
                    appends=(append("order-9", new_event()),),
                    conditions=(TagCondition((f"tag:{n % 4}",), n % 3),),
                    receipts=(NewReceipt("orders", ids[n % 7], b"d" * (n % 2), "null"),),
                ),
            ][n % 4]

        many = [kind(n) for n in range(200)]
        together = await commit_all(storage, many)
        one_by_one = [(await commit_all(alone, [changes]))[0] for changes in many]

        assert [outcome_of(r) for r in together] == [outcome_of(r) for r in one_by_one]
        assert len({str(outcome) for outcome in outcomes(together)}) > 10
        if self.takes_time_from_clock:
            assert await whole_log(storage) == await whole_log(alone)

    async def test_more_commits_than_may_wait_are_all_done_in_order(self, storage: Storage) -> None:
        count = COMMITS_WAITING_MAX + 500

        results = await commit_all(
            storage, [appending("order-1", new_event()) for _ in range(count)]
        )

        assert outcomes(results) == list(range(1, count + 1))

    @pytest.mark.parametrize("at_once", [1, 16])
    async def test_a_commit_can_be_read_when_it_has_returned(
        self, storage: Storage, at_once: int
    ) -> None:
        async def write_and_read(number: int) -> None:
            committed = await storage.commit(appending(f"order-{number}", new_event()))
            page = await storage.read_log(after=committed.position - 1, limit=1)
            assert [event.stream_id for event in page.events] == [f"order-{number}"]
            assert len(await storage.read_stream(f"order-{number}")) == 1
            assert await storage.head() >= committed.position

        await asyncio.gather(*(write_and_read(number) for number in range(at_once)))
