"""The outbox within an open storage: who moves, what streams take, what subscribers get."""

from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from headwater import App, BoundedContext, Command
from headwater.adapters.storage.postgres import PostgresStorage
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.errors import ConfigurationError, MessageTypeError, StreamClosedError
from headwater.event_store import EventData, EventStore
from headwater.integrations.outbox import Outbox
from headwater.ports.changes import Changes, StreamAction, StreamChange
from headwater.ports.log import StreamState
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import append, new_event
from tests.integrations.guests import House, Invited
from tests.personal_data.people import EMAIL, Cellar, CustomerRegistered
from tests.servers.pgbouncer import PgBouncer

ANY = ExpectedVersion.ANY


@pytest.fixture
async def store(house: House) -> AsyncGenerator[EventStore]:
    async with EventStore(PostgresStorage(house.settings), types=[Invited]) as store:
        yield store


async def test_an_open_storage_moves_what_is_staged(house: House, store: EventStore) -> None:
    house.outbox = Outbox(store)
    await house.stage("guest-1", Invited("ada"))

    await house.outbox.staged.wait_until_moved()

    assert [event.payload async for event in store.read_stream("guest-1")] == [Invited("ada")]
    assert (await store.storage.stream_info("guest-1")).state is StreamState.STAGED


async def test_one_that_is_told_not_to_leaves_it_to_others(house: House) -> None:
    house.settings = type(house.settings).from_url(
        f"{house.url}?schema={house.schema}&sslmode=disable&moves_outbox=false"
    )
    async with EventStore(PostgresStorage(house.settings), types=[Invited]) as store:
        await house.stage("guest-1", Invited("ada"))

        with pytest.raises(TimeoutError):
            await Outbox(store).staged.wait_until_moved(seconds=0.3)


async def test_a_staged_stream_takes_no_ordinary_appends(house: House, store: EventStore) -> None:
    await house.stage("guest-1", Invited("ada"))
    await house.mover.wait_until_moved()

    with pytest.raises(StreamClosedError) as refusal:
        await store.append("guest-1", [Invited("bob")], expected=ANY)

    assert (refusal.value.stream_id, refusal.value.state) == ("guest-1", "staged")
    assert "append-in-your-own-transaction" in str(refusal.value)
    # One without events only guards.
    guard = append("guest-1", expected=ExpectedVersion.exactly(1))
    assert (await store.storage.commit(Changes((guard,)))).appends[0].version == 1


async def test_an_ordinary_stream_takes_no_staged_events(house: House, store: EventStore) -> None:
    await store.append("guest-1", [Invited("ada")], expected=ANY)
    await house.stage("guest-1", Invited("bob"))
    await house.mover.wait_until_moved()

    await store.append("guest-1", [Invited("cyd")], expected=ExpectedVersion.exactly(1))

    (rejected,) = await house.mover.rejected()
    assert rejected.reason == "its stream takes ordinary appends"


async def test_positions_of_staged_and_ordinary_events_are_of_one_log(
    house: House, store: EventStore
) -> None:
    for number in range(5):
        await store.append("room-1", [Invited(f"o{number}")], expected=ANY)
        await house.stage("guest-1", Invited(f"s{number}"))
        await house.mover.wait_until_moved()

    log = [event async for event in store.read_all()]
    assert [event.position for event in log] == list(range(1, 11))
    assert [event.payload.name[0] for event in log] == ["o", "s"] * 5
    assert sorted(event.recorded_at for event in log) == [event.recorded_at for event in log]


async def test_an_id_that_was_appended_is_known_to_the_outbox_and_the_other_way_round(
    house: House, store: EventStore
) -> None:
    staged = await house.stage("guest-1", Invited("ada"))
    await house.mover.wait_until_moved()
    event = new_event("guests.invited", data='{"name":"ada"}', id=staged.ids[0].bytes)

    committed = await store.storage.commit(Changes((append("guest-1", event),)))

    assert committed.position == 1
    assert await store.head() == 1


async def test_a_tombstoned_stream_takes_no_staged_events(house: House, store: EventStore) -> None:
    await house.stage("guest-1", Invited("ada"))
    await house.mover.wait_until_moved()
    tombstone = StreamChange("guest-1", StreamAction.TOMBSTONE)
    await store.storage.commit(Changes(streams=(tombstone,)))
    await house.stage("guest-1", Invited("bob"))
    await house.mover.wait_until_moved()

    (rejected,) = await house.mover.rejected()

    assert rejected.reason == "its stream is tombstoned"


async def test_a_truncated_staged_stream_goes_on(house: House, store: EventStore) -> None:
    await house.stage("guest-1", Invited("ada"), Invited("bob"))
    await house.mover.wait_until_moved()
    truncation = StreamChange("guest-1", StreamAction.TRUNCATE, before_version=3)
    await store.storage.commit(Changes(streams=(truncation,)))
    await house.stage("guest-1", Invited("cyd"))
    await house.mover.wait_until_moved()

    info = await store.storage.stream_info("guest-1")

    assert (info.version, info.first_version, info.state) == (3, 3, StreamState.STAGED)


class Invite(Command[None], context="guests"):
    name: str


guests = BoundedContext("guests")
seen: list[str] = []


@guests.subscriber
async def greet(event: Invited) -> None:
    seen.append(event.name)


async def test_subscribers_get_staged_events(house: House) -> None:
    seen.clear()
    url = f"{house.url}?schema={house.schema}&sslmode=disable"
    app = App("guests", storage=url)
    app.include(guests)
    house.outbox = Outbox(app)
    async with app:
        await house.stage("guest-1", Invited("ada"), Invited("bob"))
        await house.outbox.staged.wait_until_moved()
        await app.settle()

    assert seen == ["ada", "bob"]


async def test_behind_pgbouncer_what_is_staged_is_moved(house: House, pgbouncer: PgBouncer) -> None:
    through = f"{pgbouncer.url()}?schema={house.schema}&sslmode=disable&pooled_by_pgbouncer=true"
    async with EventStore(PostgresStorage(f"{through}&wake_ups=poll"), types=[Invited]) as store:
        for name in ("ada", "bob"):
            with psycopg.connect(pgbouncer.url()) as connection:
                Outbox(store).stage_sync(connection, "guest-1", [Invited(name)])
        await Outbox(store).staged.wait_until_moved()

        assert [event.payload.name async for event in store.read_all()] == ["ada", "bob"]


async def test_personal_data_are_sealed_before_they_are_staged(
    house: House, tmp_path: Path
) -> None:
    cellar = Cellar(tmp_path)
    storage, keys = PostgresStorage(house.settings), cellar.personal_data()
    event = EventData(CustomerRegistered("ada", EMAIL), id=uuid4())
    async with EventStore(storage, types=[CustomerRegistered], personal_data=keys) as store:
        house.outbox = Outbox(store)
        await house.stage("crm.customer-ada", event)
        await house.stage("crm.customer-ada", event)
        await house.outbox.staged.wait_until_moved()

        stored = await house.sql("SELECT data::text FROM @.events")
        read = [event.payload async for event in store.read_all()]
        with (
            psycopg.connect(house.url) as connection,
            pytest.raises(ConfigurationError, match="must be sealed"),
        ):
            house.outbox.stage_sync(connection, "crm.customer-ada", [event])

    assert EMAIL not in stored[0][0]
    assert read == [CustomerRegistered("ada", EMAIL)]
    assert await house.mover.rejected() == ()


async def test_an_app_that_only_stages_need_not_run(house: House) -> None:
    app = App("guests", storage=f"{house.url}?schema={house.schema}&sslmode=disable")
    app.include(guests)
    with psycopg.connect(house.url) as connection:
        Outbox(app).stage_sync(connection, "guest-1", [Invited("ada")])

    moved = await house.mover.move()

    assert (moved.moved, app.is_running) == (1, False)


async def test_personal_data_wants_an_app_that_runs(house: House, tmp_path: Path) -> None:
    url = f"{house.url}?schema={house.schema}&sslmode=disable"
    app = App("crm", storage=url, personal_data=Cellar(tmp_path).personal_data())
    crm = BoundedContext("crm")
    crm.register(CustomerRegistered)
    app.include(crm)
    house.outbox = Outbox(app)

    with pytest.raises(ConfigurationError, match="while that runs"):
        await house.stage("crm.customer-ada", CustomerRegistered("ada", EMAIL))


async def test_a_request_is_no_event(house: House) -> None:
    for request in (Invite("ada"), EventData(Invite("ada"))):
        with pytest.raises(MessageTypeError, match="Invite is a request, not an event"):
            await house.stage("guest-1", request)


async def test_an_outbox_of_a_codec_alone_has_nothing_to_wait_for(house: House) -> None:
    with pytest.raises(ConfigurationError, match="has no storage"):
        _ = house.outbox.staged


def test_an_outbox_is_made_for_postgresql_only(tmp_path: Path) -> None:
    for source in (EventStore(SqliteStorage(tmp_path / "log.db")), App("shop")):
        with pytest.raises(ConfigurationError, match="in the PostgreSQL that holds the log"):
            Outbox(source)
