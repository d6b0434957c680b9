"""What a decision rests on besides streams: tags, and rows that were read and not written."""

import pytest

from headwater.errors import ConfigurationError, RowConflictError, TagConditionError
from headwater.ports.changes import Changes, RowGuard, TagCondition
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    append,
    appending,
    deletion,
    new_event,
    row,
    writing,
)
from headwater.testing.conformance.suite import StorageSuite

SEATS = CollectionSpec(
    "seats", ("id", "guest"), (IndexedField("guest", IndexKind.TEXT, unique=True),)
)


def unless(*tags: str, after: int, types: frozenset[str] = frozenset()) -> Changes:
    """Return changes that append one untagged event under a tag condition."""
    condition = TagCondition(tags, after, types)
    return Changes(appends=(append("decision-1", new_event()),), conditions=(condition,))


class ConditionsConformance(StorageSuite):
    """Conditions refuse a commit that was decided on what no longer holds."""

    async def test_a_tag_condition_holds_while_no_such_event_came(self, storage: Storage) -> None:
        await storage.commit(appending("seat-1", new_event(tags=("seat:1",))))

        committed = await storage.commit(unless("seat:2", after=0))

        assert committed.position == 2

    async def test_a_tag_condition_refuses_once_such_an_event_came_after_the_decision(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("seat-1", new_event(), new_event(tags=("seat:1", "x"))))
        await storage.commit(appending("seat-1", new_event(tags=("seat:1",))))

        with pytest.raises(TagConditionError) as refusal:
            await storage.commit(unless("seat:1", after=1))

        assert (refusal.value.tags, refusal.value.after) == (("seat:1",), 1)
        assert refusal.value.position == 2
        assert await storage.head() == 3

    async def test_a_tag_condition_does_not_count_what_the_decision_has_seen(
        self, storage: Storage
    ) -> None:
        seen = await storage.commit(appending("seat-1", new_event(tags=("seat:1",))))

        committed = await storage.commit(unless("seat:1", after=seen.position))

        assert committed.position == 2

    async def test_a_tag_condition_of_several_tags_means_events_with_all_of_them(
        self, storage: Storage
    ) -> None:
        await storage.commit(
            appending("seat-1", new_event(tags=("seat:1",)), new_event(tags=("guest:7",)))
        )
        await storage.commit(unless("guest:7", "seat:1", after=0))
        await storage.commit(appending("seat-1", new_event(tags=("guest:7", "x", "seat:1"))))

        with pytest.raises(TagConditionError) as refusal:
            await storage.commit(unless("seat:1", "guest:7", after=0))

        assert refusal.value.position == 4

    async def test_a_tag_condition_that_names_types_means_events_of_one_of_them(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("seat-1", new_event("sales.held", tags=("seat:1",))))
        await storage.commit(unless("seat:1", after=0, types=frozenset({"sales.sold"})))
        await storage.commit(appending("seat-1", new_event("sales.sold", tags=("seat:1",))))

        with pytest.raises(TagConditionError) as refusal:
            await storage.commit(
                unless("seat:1", after=0, types=frozenset({"sales.sold", "sales.lost"}))
            )

        assert refusal.value.position == 3

    async def test_a_tag_condition_counts_events_of_internal_streams(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("$saga-1", new_event(tags=("seat:1",))))

        with pytest.raises(TagConditionError):
            await storage.commit(unless("seat:1", after=0))

    async def test_a_tag_condition_does_not_count_events_of_the_same_changes(
        self, storage: Storage
    ) -> None:
        committed = await storage.commit(
            Changes(
                appends=(append("seat-1", new_event(tags=("seat:1",))),),
                conditions=(TagCondition(("seat:1",), 0),),
            )
        )

        assert committed.position == 1

    async def test_a_tag_condition_does_not_count_events_that_the_same_changes_repeat(
        self, storage: Storage
    ) -> None:
        decided = Changes(
            appends=(append("seat-1", new_event(tags=("seat:1",))),),
            conditions=(TagCondition(("seat:1",), 0),),
        )
        first = await storage.commit(decided)

        assert await storage.commit(decided) == first
        await storage.commit(appending("seat-1", new_event(tags=("seat:1",))))
        with pytest.raises(TagConditionError) as refusal:
            await storage.commit(decided)
        assert refusal.value.position == 2

    async def test_every_tag_condition_must_hold(self, storage: Storage) -> None:
        await storage.commit(appending("seat-2", new_event(tags=("seat:2",))))

        with pytest.raises(TagConditionError) as refusal:
            await storage.commit(
                Changes(conditions=(TagCondition(("seat:1",), 0), TagCondition(("seat:2",), 0)))
            )

        assert refusal.value.tags == ("seat:2",)

    async def test_a_row_guard_holds_while_the_row_stands_at_its_version(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([SEATS])
        await storage.commit(writing(row("seats", "1", "anna")))
        version = (await storage.get_rows("seats", ["1"]))["1"].version

        committed = await storage.commit(
            Changes(
                appends=(append("decision-1", new_event()),),
                guards=(RowGuard("seats", "1", version), RowGuard("seats", "2", 0)),
            )
        )

        assert committed.position == 1

    async def test_a_row_guard_refuses_once_the_row_was_written_deleted_or_made(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([SEATS])
        await storage.commit(writing(*(row("seats", key, key) for key in ("1", "2"))))
        read = await storage.get_rows("seats", ["1", "2"])
        await storage.commit(
            writing(row("seats", "1", "1"), deletion("seats", "2"), row("seats", "3", "3"))
        )
        now = await storage.get_rows("seats", ["1", "2", "3"])

        for key, expected, actual in (
            ("1", read["1"].version, now["1"].version),
            ("2", read["2"].version, 0),
            ("3", 0, now["3"].version),
        ):
            with pytest.raises(RowConflictError) as refusal:
                await storage.commit(
                    Changes(
                        appends=(append("decision-1", new_event()),),
                        guards=(RowGuard("seats", key, expected),),
                    )
                )
            assert (refusal.value.collection, refusal.value.key) == ("seats", key)
            assert (refusal.value.expected, refusal.value.actual) == (expected, actual)
        assert await storage.head() == 0

    async def test_row_guards_are_compared_before_any_row_of_the_same_value_is_written(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([SEATS])

        await storage.commit(
            Changes(guards=(RowGuard("seats", "1", 0),), rows=(row("seats", "1", "anna"),))
        )

        assert "1" in await storage.get_rows("seats", ["1"])

    async def test_a_row_guard_in_a_collection_that_was_not_prepared_is_refused(
        self, storage: Storage
    ) -> None:
        with pytest.raises(ConfigurationError):
            await storage.commit(Changes(guards=(RowGuard("seats", "1", 0),)))
