"""Streams are read whole and in order, and what is known of them can be looked at."""

import pytest

from headwater.ports.log import PAGE_EVENTS_MAX
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import appending, new_event, new_events
from headwater.testing.conformance.suite import StorageSuite

LIMITS_OUT_OF_RANGE = [-1, 0, PAGE_EVENTS_MAX + 1]


async def versions(
    storage: Storage,
    from_version: int | None = None,
    *,
    backwards: bool = False,
    limit: int = 1000,
) -> list[int]:
    """Return the versions of a page of stream order-1."""
    events = await storage.read_stream(
        "order-1", from_version=from_version, backwards=backwards, limit=limit
    )
    return [event.version for event in events]


class StreamsConformance(StorageSuite):
    """What readers of streams can rely on."""

    async def test_a_stream_is_read_in_the_order_of_its_versions(self, storage: Storage) -> None:
        events = new_events(3)
        await storage.commit(appending("order-1", *events))
        await storage.commit(appending("order-2", new_event()))

        stored = await storage.read_stream("order-1")

        assert [event.id for event in stored] == [event.id for event in events]
        assert [event.version for event in stored] == [1, 2, 3]

    async def test_the_payloads_of_a_stream_are_those_of_its_events(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(5)))
        await storage.commit(appending("order-2", new_event()))

        payloads = [
            *await storage.read_payloads("order-1", limit=2),
            *await storage.read_payloads("order-1", from_version=3),
        ]

        assert payloads == [
            (event.version, event.type, event.schema_version, event.data)
            for event in await storage.read_stream("order-1")
        ]
        assert list(await storage.read_payloads("order-1", from_version=6)) == []
        assert list(await storage.read_payloads("unknown-1")) == []

    @pytest.mark.parametrize("limit", LIMITS_OUT_OF_RANGE)
    async def test_a_limit_of_payloads_out_of_range_is_refused(
        self, storage: Storage, limit: int
    ) -> None:
        with pytest.raises(ValueError, match="limit"):
            await storage.read_payloads("order-1", limit=limit)

    async def test_a_stream_is_read_from_a_version_on_and_included(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(4)))

        assert await versions(storage, 3) == [3, 4]
        assert await versions(storage, 1) == [1, 2, 3, 4]
        assert await versions(storage, 2, limit=2) == [2, 3]

    async def test_a_stream_is_read_backwards_from_its_newest_event_or_a_version(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-1", *new_events(4)))

        assert await versions(storage, backwards=True) == [4, 3, 2, 1]
        assert await versions(storage, backwards=True, limit=1) == [4]
        assert await versions(storage, 3, backwards=True, limit=2) == [3, 2]
        assert await versions(storage, 99, backwards=True, limit=2) == [4, 3]

    async def test_an_unknown_stream_is_empty(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", new_event()))

        assert await storage.read_stream("order-2") == ()
        assert await storage.read_stream("order-2", backwards=True) == ()
        assert await storage.read_stream("order") == ()
        assert await storage.read_stream("ORDER-1") == ()

    async def test_nothing_on_that_side_of_a_stream_is_empty(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(2)))

        assert await versions(storage, 3) == []
        assert await versions(storage, 0, backwards=True) == []

    @pytest.mark.parametrize("limit", LIMITS_OUT_OF_RANGE)
    async def test_a_limit_out_of_range_is_refused(self, storage: Storage, limit: int) -> None:
        with pytest.raises(ValueError, match=str(limit)):
            await storage.read_stream("order-1", limit=limit)
        with pytest.raises(ValueError, match=str(limit)):
            await storage.read_log(limit=limit)
