"""What is known of one stream, and which streams there are."""

import pytest

from headwater.ports.changes import StreamChange
from headwater.ports.log import PAGE_EVENTS_MAX, StreamInfo, StreamState
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    appending,
    archive,
    changing,
    new_event,
    new_events,
    restore,
    tombstone,
    truncate,
)
from headwater.testing.conformance.suite import StorageSuite

NAMES = [
    "a",
    "B-1",
    "a-1",
    "a-2",
    "a.b-1",
    "b-1",
    "$a-1",
    "$$",
    "%-1",
    "ä-1",
    "\U0001f600-1",
    "＄-1",
]
# The last two stand in another order where text sorts by UTF-16.


async def names(
    storage: Storage, *, category: str | None = None, after: str = "", internal: bool = False
) -> list[str]:
    """Return the ids of the streams, read in pages of two."""
    found: list[str] = []
    while page := await storage.read_streams(
        category=category, after=after, internal=internal, limit=2
    ):
        assert len(page) <= 2
        found += [info.stream_id for info in page]
        after = found[-1]
    return found


class OverviewConformance(StorageSuite):
    """What `stream_info` and `read_streams` return."""

    async def test_a_stream_is_known_by_its_versions_and_its_state(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(3)))
        await storage.commit(appending("order-2", new_event()))

        assert await storage.stream_info("order-1") == StreamInfo("order-1", 3, 1)
        assert await storage.stream_info("order-2") == StreamInfo("order-2", 1, 1)

    async def test_of_an_unknown_stream_it_is_known_that_it_never_had_an_event(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-10", new_event()))

        unknown = await storage.stream_info("order-1")

        assert unknown == StreamInfo("order-1", 0, 0, StreamState.OPEN)

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (truncate("order-1", 3), StreamInfo("order-1", 3, 3)),
            (truncate("order-1", 4), StreamInfo("order-1", 3, 0)),
            (archive("order-1"), StreamInfo("order-1", 3, 1, StreamState.ARCHIVED)),
            (tombstone("order-1"), StreamInfo("order-1", 3, 0, StreamState.TOMBSTONED)),
        ],
        ids=["truncated", "emptied", "archived", "tombstoned"],
    )
    async def test_what_was_done_to_a_stream_shows(
        self, storage: Storage, change: StreamChange, expected: StreamInfo
    ) -> None:
        await storage.commit(appending("order-1", *new_events(3)))

        await storage.commit(changing(change))

        assert await storage.stream_info("order-1") == expected
        assert await storage.read_streams() == (expected,)

    async def test_all_streams_come_once_in_the_order_of_code_points(
        self, storage: Storage
    ) -> None:
        for name in NAMES:
            await storage.commit(appending(name, *new_events(2)))

        ours = sorted(name for name in NAMES if not name.startswith("$"))
        assert await names(storage) == ours
        assert await names(storage, internal=True) == sorted(NAMES)
        assert [info.version for info in await storage.read_streams(internal=True)] == [2] * 12

    async def test_streams_are_read_on_after_a_name_whether_it_is_one_or_not(
        self, storage: Storage
    ) -> None:
        for name in ("a-1", "a-2", "a-3", "$a-1"):
            await storage.commit(appending(name, new_event()))

        assert await names(storage, after="a-1") == ["a-2", "a-3"]
        assert await names(storage, after="a-1x") == ["a-2", "a-3"]
        assert await names(storage, after="a-3") == []
        assert await names(storage, after="$") == ["a-1", "a-2", "a-3"]
        assert await names(storage, after="$", internal=True) == ["$a-1", "a-1", "a-2", "a-3"]

    async def test_the_streams_of_one_category_can_be_asked_for(self, storage: Storage) -> None:
        for name in NAMES:
            await storage.commit(appending(name, new_event()))

        assert await names(storage, category="a") == ["a", "a-1", "a-2"]
        assert await names(storage, category="a", after="a-1") == ["a-2"]
        assert await names(storage, category="a.b") == ["a.b-1"]
        assert await names(storage, category="a-1") == []
        assert await names(storage, category="$a") == []
        assert await names(storage, category="$a", internal=True) == ["$a-1"]

    async def test_streams_without_events_come_too_if_they_had_some_or_are_not_open(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("b-1", new_event()))
        for name in ("a-emptied", "c-tombstoned", "d-archived"):
            await storage.commit(appending(name, new_event()))
        await storage.commit(
            changing(
                truncate("a-emptied", 9),
                tombstone("c-tombstoned"),
                archive("d-archived"),
                archive("e-never"),
                tombstone("f-never"),
                archive("g-never"),
                restore("g-never"),
                truncate("h-never", 5),
            )
        )

        found = await storage.read_streams()

        assert [(info.stream_id, info.version, info.state.value) for info in found] == [
            ("a-emptied", 1, "open"),
            ("b-1", 1, "open"),
            ("c-tombstoned", 1, "tombstoned"),
            ("d-archived", 1, "archived"),
            ("e-never", 0, "archived"),
            ("f-never", 0, "tombstoned"),
        ]
        assert await names(storage, after="b-1") == [
            *("c-tombstoned", "d-archived", "e-never", "f-never"),
        ]

    @pytest.mark.parametrize("limit", [-1, 0, PAGE_EVENTS_MAX + 1])
    async def test_a_limit_of_streams_out_of_range_is_refused(
        self, storage: Storage, limit: int
    ) -> None:
        with pytest.raises(ValueError, match=str(limit)):
            await storage.read_streams(limit=limit)
