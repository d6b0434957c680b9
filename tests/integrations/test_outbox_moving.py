"""What becomes of staged rows: order, repeats, many at once, slow transactions, several movers."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from headwater.adapters.storage.postgres.outbox import OUTBOX_ROWS_MAX
from headwater.adapters.storage.postgres.outbox_mover import OutboxMover
from headwater.errors import InvalidNameError, LimitExceededError, RoundTripError
from headwater.event_store import EventData
from headwater.integrations.outbox import STAGED_EVENTS_MAX, Outbox
from headwater.messages import Event
from headwater.metadata import message_context
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from tests.integrations.guests import House, Invited


async def test_a_running_mover_hears_of_what_was_committed(house: House) -> None:
    house.mover.start()
    staged = await house.stage("guest-1", Invited("ada"), Invited("bob"))

    await house.mover.wait_until_moved(staged.seq)

    assert [(s.version, s.name) for s in await house.log()] == [(1, "ada"), (2, "bob")]
    assert [UUID(bytes=row[0].bytes) for row in await house.sql("SELECT id FROM @.events")] == [
        *staged.ids
    ]
    assert await house.sql("SELECT max(position) FROM @.events") == [(2,)]


async def test_what_was_staged_without_a_word_is_found_by_looking(house: House) -> None:
    house.outbox = Outbox(EventCodec(TypeRegistry()), schema=house.schema, wake=False)
    house.mover.start()
    staged = await house.stage("guest-1", Invited("ada"))

    await house.mover.wait_until_moved(staged.seq)

    assert len(await house.log()) == 1


async def test_readers_are_told_once_per_batch(house: House) -> None:
    heads: list[object] = []

    def told(_connection: object, _pid: int, _channel: str, message: object) -> None:
        heads.append(message)

    connection = await house.connect()
    await connection.add_listener(house.settings.channel, told)
    await house.stage("guest-1", *[Invited(str(number)) for number in range(20)])

    await house.mover.move()
    await connection.fetchval("SELECT 1")

    assert heads == ["20"]
    await connection.close()


async def test_an_event_goes_with_its_context_tags_time_and_id(house: House) -> None:
    at, id_ = datetime(2021, 5, 1, tzinfo=UTC), uuid4()
    event = EventData(Invited("bob"), id=id_, occurred_at=at, tags=("guest:bob", "x"))
    with message_context(actor="ada", tenant="north", headers={"a": "b"}) as context:
        await house.stage("guest-1", event)

    await house.mover.move()

    (row,) = await house.sql("SELECT * FROM @.log")
    assert (row["id"], row["occurred_at"], row["tags"]) == (id_, at, ["guest:bob", "x"])
    assert row["correlation_id"] == context.correlation_id
    assert row["causation_id"] == context.message_id
    assert (row["actor"], row["tenant"], row["headers"]) == ("ada", "north", '{"a":"b"}')
    assert row["data"] == '{"name":"bob"}'
    assert (row["type"], row["schema_version"]) == ("guests.invited", 1)
    tags = await house.sql("SELECT tag, position FROM @.event_tags ORDER BY tag")
    assert tags == [("guest:bob", 1), ("x", 1)]


async def test_a_stream_that_takes_staged_events_is_marked(house: House) -> None:
    await house.stage("guest-1", Invited("ada"))
    await house.mover.move()
    await house.stage("guest-1", Invited("bob"))
    await house.mover.move()

    assert await house.sql("SELECT stream_id, state FROM @.streams") == [("guest-1", "staged")]
    assert [stored.version for stored in await house.log()] == [1, 2]


async def test_a_slow_transaction_holds_nobody_up(house: House) -> None:
    slow = await house.connect()
    transaction = slow.transaction()
    await transaction.start()
    first = await house.outbox.stage(slow, "guest-slow", [Invited("slow-1"), Invited("slow-2")])
    second = await house.stage("guest-quick", Invited("quick"))

    await house.mover.move()
    before = [stored.name for stored in await house.log()]
    await transaction.commit()
    await house.mover.move()

    assert first.seq < second.seq
    assert before == ["quick"]
    assert [stored.name for stored in await house.log()] == ["quick", "slow-1", "slow-2"]
    await slow.close()


async def test_an_id_that_comes_again_with_the_same_content_is_dropped(house: House) -> None:
    event = EventData(Invited("ada"), id=uuid4())
    await house.stage("guest-1", event, event)
    await house.stage("guest-1", event)
    await house.mover.move()
    await house.stage("guest-1", event)

    again = await house.mover.move()

    assert (again.moved, again.repeated, again.rejected) == (0, 1, 0)
    assert len(await house.log()) == 1
    assert (await house.mover.status()).rejected == 0


async def test_batches_are_bounded_and_keep_the_order_of_each_transaction(house: House) -> None:
    count = OUTBOX_ROWS_MAX + 200
    connection = await house.connect()
    async with connection.transaction():
        for start in range(0, count, 600):
            events = [Invited(str(number)) for number in range(start, min(start + 600, count))]
            await house.outbox.stage(connection, "guest-1", events)

    moved = await house.mover.move()

    assert moved.moved == count
    assert [stored.name for stored in await house.log()] == [str(n) for n in range(count)]
    assert [stored.position for stored in await house.log()] == list(range(1, count + 1))
    await connection.close()


async def test_ten_thousand_rows_of_many_transactions_are_all_moved_once_and_in_order(
    house: House,
) -> None:
    writers, transactions, rows = 8, 50, 25
    others = [OutboxMover(house.settings) for _ in range(2)]
    for mover in (house.mover, *others):
        mover.start()

    async def write(writer: int) -> None:
        connection = await house.connect()
        for transaction in range(transactions):
            async with connection.transaction():
                for part in ("a", "b"):
                    start = transaction * rows
                    names = [f"{part}{number}" for number in range(start, start + rows // 2)]
                    if part == "b":
                        names.append(f"b{start + rows}")
                    await house.outbox.stage(
                        connection, f"guest-{writer}", [Invited(name) for name in names]
                    )
        await connection.close()

    await asyncio.gather(*(write(writer) for writer in range(writers)))
    await house.mover.wait_until_moved(seconds=50)

    log = await house.log()
    assert len(log) == writers * transactions * rows == 10_000
    assert [stored.position for stored in log] == list(range(1, 10_001))
    for writer in range(writers):
        mine = [stored for stored in log if stored.stream_id == f"guest-{writer}"]
        assert [stored.version for stored in mine] == list(range(1, transactions * rows + 1))
        # A transaction's rows stand in its order: all of its a before all of its b.
        for number in range(transactions):
            names = [stored.name for stored in mine[number * rows : (number + 1) * rows]]
            assert [name[0] for name in names] == ["a"] * 12 + ["b"] * 13
            numbers = [int(name[1:]) for name in names]
            assert numbers[:12] == sorted(numbers[:12])
    for mover in others:
        await mover.stop()


async def test_a_lost_connection_is_made_anew(house: House) -> None:
    house.mover.start()
    staged = await house.stage("guest-1", Invited("ada"))
    await house.mover.wait_until_moved(staged.seq)

    killed = await house.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'headwater' AND query LIKE '%' || $1 || '%' "
        "AND pid <> pg_backend_pid()",
        house.schema,
    )
    staged = await house.stage("guest-1", Invited("bob"))
    await house.mover.wait_until_moved(staged.seq)

    assert killed
    assert len(await house.log()) == 2


async def test_what_fails_for_a_while_is_told_once_and_goes_on(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    function = "@.move_outbox_v1(integer, bigint, integer, integer)"
    await house.sql(f"ALTER FUNCTION {function} RENAME TO gone")
    house.mover.start()
    staged = await house.stage("guest-1", Invited("ada"))
    with pytest.raises(TimeoutError):
        await house.mover.wait_until_moved(staged.seq, seconds=0.3)

    renamed = function.replace("move_outbox_v1", "gone")
    await house.sql(f"ALTER FUNCTION {renamed} RENAME TO move_outbox_v1")
    await house.mover.wait_until_moved(staged.seq)

    told = [record for record in caplog.records if "The outbox is not moved" in record.message]
    assert len(told) == 1
    assert len(await house.log()) == 1


async def test_waiting_for_what_nobody_moves_ends(house: House) -> None:
    staged = await house.stage("guest-1", Invited("ada"))

    with pytest.raises(TimeoutError, match="still wait after 0 s"):
        await house.mover.wait_until_moved(staged.seq, seconds=0)


class Measured(Event, context="guests"):
    value: float


async def test_what_could_not_be_appended_is_not_staged(house: House) -> None:
    connection = await house.connect()
    many = [Invited("ada")] * (STAGED_EVENTS_MAX + 1)
    async with connection.transaction():
        with pytest.raises(RoundTripError):
            await house.outbox.stage(connection, "guest-1", [Measured(float("nan"))])
        with pytest.raises(InvalidNameError):
            await house.outbox.stage(connection, "guest\n1", [Invited("ada")])
        with pytest.raises(LimitExceededError):
            await house.outbox.stage(connection, "guest-1", many)
        with pytest.raises(ValueError, match="no events"):
            await house.outbox.stage(connection, "guest-1", [])
        with pytest.raises(ValueError, match="no NUL"):
            await house.outbox.stage(connection, "guest-1", [EventData(Invited(""), tags=("\0",))])
        # None of this has spoilt the user's transaction.
        await house.outbox.stage(connection, "guest-1", [Invited("nul \0 in the data")])
    await connection.close()

    assert (await house.mover.move()).moved == 1
