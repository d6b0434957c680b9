"""A reader of the log gets what its filter says, and passes over the rest."""

from headwater.ports.log import LogFilter
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import appending, new_event, new_events, positions
from headwater.testing.conformance.suite import StorageSuite


class FiltersConformance(StorageSuite):
    """What each part of a `LogFilter` leaves out."""

    async def test_the_log_can_be_filtered_by_types(self, storage: Storage) -> None:
        for type in ("sales.a", "sales.b", "sales.c", "sales.a", "SALES.A"):
            await storage.commit(appending("order-1", new_event(type)))

        assert await positions(storage, LogFilter(types=frozenset({"sales.a"}))) == [1, 4]
        both = LogFilter(types=frozenset({"sales.a", "sales.c"}))
        assert await positions(storage, both) == [1, 3, 4]

    async def test_the_log_can_be_filtered_by_categories(self, storage: Storage) -> None:
        for stream_id in ("sales.order-1", "sales.order-2-x", "sales.orders-1", "sales.order"):
            await storage.commit(appending(stream_id, new_event()))

        orders = LogFilter(categories=frozenset({"sales.order"}))
        assert await positions(storage, orders) == [1, 2, 4]
        both = LogFilter(categories=frozenset({"sales.order", "sales.orders"}))
        assert await positions(storage, both) == [1, 2, 3, 4]

    async def test_the_log_can_be_filtered_by_tags_that_are_all_on_an_event(
        self, storage: Storage
    ) -> None:
        for tags in (("a",), ("b",), ("b", "a"), ("a", "b", "c"), ("ab",)):
            await storage.commit(appending("order-1", new_event(tags=tags)))

        assert await positions(storage, LogFilter(tags=frozenset({"a"}))) == [1, 3, 4]
        assert await positions(storage, LogFilter(tags=frozenset({"a", "b"}))) == [3, 4]
        assert await positions(storage, LogFilter(tags=frozenset({"a", "x"}))) == []

    async def test_the_log_can_be_filtered_by_tenants(self, storage: Storage) -> None:
        for tenant in ("acme", None, "zürich", "ACME", "", "acme"):
            await storage.commit(appending("order-1", new_event(tenant=tenant)))

        assert await positions(storage, LogFilter(tenants=frozenset({"acme"}))) == [1, 6]
        assert await positions(storage, LogFilter(tenants=frozenset({"acme", "zürich"}))) == [
            1,
            3,
            6,
        ]
        assert await positions(storage, LogFilter(tenants=frozenset({""}))) == [5]
        assert await positions(storage, LogFilter(tenants=frozenset({"other"}))) == []

    async def test_a_page_passes_the_events_of_other_tenants_up_to_the_head(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-1", *(new_event(tenant=t) for t in "abba")))

        page = await storage.read_log(where=LogFilter(tenants=frozenset({"b"})), limit=2)
        rest = await storage.read_log(after=3, where=LogFilter(tenants=frozenset({"b"})))

        assert ([event.tenant for event in page.events], page.scanned_to) == (["b", "b"], 3)
        assert (rest.events, rest.scanned_to) == ((), 4)

    async def test_every_part_of_a_filter_must_hold(self, storage: Storage) -> None:
        for stream_id, type, tags in (
            ("order-1", "sales.a", ("x",)),
            ("order-1", "sales.a", ()),
            ("order-1", "sales.b", ("x",)),
            ("basket-1", "sales.a", ("x",)),
            ("$order-1", "sales.a", ("x",)),
        ):
            event = new_event(type, tags=tags, tenant="acme")
            await storage.commit(appending(stream_id, event))
        await storage.commit(appending("order-1", new_event("sales.a", tags=("x",))))

        where = LogFilter(
            types=frozenset({"sales.a"}),
            categories=frozenset({"order", "$order"}),
            tags=frozenset({"x"}),
            tenants=frozenset({"acme"}),
        )
        assert await positions(storage, where) == [1]

    async def test_internal_streams_are_left_out_unless_asked_for(self, storage: Storage) -> None:
        for stream_id in ("order-1", "$timer-1", "order-$1", "$out.mail-1"):
            await storage.commit(appending(stream_id, new_event()))

        assert await positions(storage, LogFilter()) == [1, 3]
        assert await positions(storage, LogFilter(internal=True)) == [1, 2, 3, 4]
        timers = LogFilter(categories=frozenset({"$timer"}), internal=True)
        assert await positions(storage, timers) == [2]
        assert len(await storage.read_stream("$timer-1")) == 1

    async def test_a_page_passes_internal_events_up_to_the_head(self, storage: Storage) -> None:
        await storage.commit(appending("$timer-1", *new_events(2)))

        page = await storage.read_log()

        assert (page.events, page.scanned_to, page.head) == ((), 2, 2)
        assert await storage.head() == 2
