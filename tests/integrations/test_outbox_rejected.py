"""A row that can't be moved is put aside with its reason, and harms no other."""

import asyncio
from uuid import uuid4

import pytest

from headwater.event_store import EventData
from tests.integrations.guests import Declined, House, Invited

INSERT = (
    "INSERT INTO @.outbox (stream_id, id, type, schema_version, data, occurred_at, headers, tags) "
    "VALUES ($1, gen_random_uuid(), $2, $3, $4::text::json, $5, $6::text::json, $7)"
)
GOOD = ("guest-1", "guests.invited", 1, '{"name":"bad"}', 0, None, None)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, "", "the stream id must have 1 to 512 characters"),
        (0, "guest\x07", "the stream id must have 1 to 512 characters and no control characters"),
        (0, "g" * 513, "the stream id must have 1 to 512 characters"),
        (1, "Invited", "the type is no name such as sales.order-placed"),
        (1, "guests.in vited", "the type is no name"),
        (1, "guests." + "i" * 200, "the type is no name"),
        (2, 0, "the schema version is below 1"),
        (3, "[1]", "the data are no JSON object"),
        (3, '{"name":"' + "x" * 1024 * 1024 + '"}', "the data have 1048587 bytes, the limit is"),
        (4, 2**62, "occurred_at is no time"),
        (5, '{"a":1}', "the headers are no JSON object of strings"),
        (5, '["a"]', "the headers are no JSON object of strings"),
        (5, '{"a\\u0000":"b"}', "moving it failed: unsupported Unicode escape sequence"),
        (6, ["a", None], "a tag is null or longer than 1,024 bytes"),
        (6, ["t" * 1025], "a tag is null or longer than 1,024 bytes"),
    ],
)
async def test_a_row_of_bad_form_is_put_aside(
    house: House, place: int, value: object, reason: str
) -> None:
    await house.stage("guest-0", Invited("before"))
    await house.sql(INSERT, *GOOD[:place], value, *GOOD[place + 1 :])
    await house.stage("guest-2", Invited("after"))

    moved = await house.mover.move()

    assert (moved.moved, moved.rejected) == (2, 1)
    assert [stored.name for stored in await house.log()] == ["before", "after"]
    (rejected,) = await house.mover.rejected()
    assert rejected.reason.startswith(reason)
    assert await house.waiting() == 0


async def test_what_is_put_aside_is_told_in_the_log(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.sql("INSERT INTO @.streams VALUES ('guest-1', 'archived', 3)")
    staged = await house.stage("guest-1", *(Invited(f"n{n}") for n in range(12)))

    await house.mover.move()

    told = [record for record in caplog.records if record.levelname == "WARNING"]
    texts = [record.getMessage() for record in told]
    assert len(texts) == 11
    assert str(staged.ids[2]) in texts[0]
    assert "for stream 'guest-1' was put aside: its stream is archived" in texts[0]
    assert texts[-1].startswith("2 more staged events were put aside")


async def test_a_row_written_by_plain_sql_is_an_event_like_others(house: House) -> None:
    await house.sql(INSERT, "gäste-1", "gäste.einge-laden", *GOOD[2:6], ["a", "a"])

    assert (await house.mover.move()).moved == 1

    assert await house.sql("SELECT tag FROM @.event_tags") == [("a",)]


async def test_a_known_id_with_other_content_is_put_aside(house: House) -> None:
    id_ = uuid4()
    await house.stage("guest-1", EventData(Invited("ada"), id=id_))
    await house.mover.move()
    for other in (
        ("guest-1", Invited("bob")),
        ("guest-1", Declined("ada")),
        ("guest-2", Invited("ada")),
    ):
        await house.stage(other[0], EventData(other[1], id=id_))

    moved = await house.mover.move()

    assert moved.rejected == 3
    assert {row.reason for row in await house.mover.rejected()} == {
        "its id is known, with another stream or content"
    }


async def test_the_id_of_an_erased_event_is_known_whatever_the_content(house: House) -> None:
    id_ = uuid4()
    await house.sql("INSERT INTO @.streams VALUES ('guest-1', 'staged', 1)")
    await house.sql(
        "INSERT INTO @.erased_events (id, position, stream_id, version, type, erased_at) "
        "VALUES ($1, 1, 'guest-1', 1, 'guests.invited', 0)",
        id_,
    )
    await house.stage("guest-1", EventData(Invited("ada"), id=id_))
    await house.stage("guest-1", Invited("bob"))

    moved = await house.mover.move()

    assert (moved.moved, moved.repeated) == (1, 1)
    assert [stored.version for stored in await house.log()] == [2]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("archived", "its stream is archived"),
        ("tombstoned", "its stream is tombstoned"),
        ("open", "its stream takes ordinary appends"),
    ],
)
async def test_a_row_for_a_stream_that_takes_none_is_put_aside(
    house: House, state: str, reason: str
) -> None:
    await house.sql("INSERT INTO @.streams VALUES ('guest-1', $1, 3)", state)
    await house.stage("guest-1", Invited("ada"))
    await house.stage("guest-2", Invited("bob"))

    moved = await house.mover.move()

    assert (moved.moved, moved.rejected) == (1, 1)
    assert [row.reason for row in await house.mover.rejected()] == [reason]


async def test_a_row_for_a_stream_with_ordinary_events_is_put_aside(house: House) -> None:
    await house.sql(
        "INSERT INTO @.events (position, stream_id, version, id, type, schema_version, data, "
        "occurred_at, recorded_at) "
        "VALUES (1, 'guest-1', 1, gen_random_uuid(), 'a.b', 1, '{}', 0, 0)"
    )
    await house.stage("guest-1", Invited("ada"))

    assert (await house.mover.move()).rejected == 1

    assert [row.reason for row in await house.mover.rejected()] == [
        "its stream takes ordinary appends"
    ]


async def test_a_failure_that_nobody_foresaw_puts_one_row_aside_and_moves_the_others(
    house: House,
) -> None:
    await house.sql("ALTER TABLE @.events ADD CONSTRAINT odd CHECK (data->>'name' <> 'odd')")
    for name in ("a", "odd", "b", "c"):
        await house.stage(f"guest-{name}", Invited(name))

    moved = await house.mover.move()

    assert (moved.moved, moved.rejected) == (3, 1)
    assert [stored.name for stored in await house.log()] == ["a", "b", "c"]
    (row,) = await house.mover.rejected()
    assert row.stream_id == "guest-odd"
    assert 'violates check constraint "odd"' in row.reason


async def test_a_row_that_comes_to_stand_before_the_one_that_failed_is_not_put_aside_for_it(
    house: House,
) -> None:
    await house.sql(
        "CREATE FUNCTION @.odd(json) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN "
        "IF $1 ->> 'name' <> 'odd' THEN RETURN true; END IF; "
        "PERFORM pg_advisory_xact_lock(hashtext('@')); RETURN false; END $$"
    )
    await house.sql("ALTER TABLE @.events ADD CONSTRAINT odd CHECK (@.odd(data))")
    early, holder = await house.connect(), await house.connect()
    async with early.transaction():
        await house.outbox.stage(early, "guest-early", [Invited("early")])
        await house.stage("guest-odd", Invited("odd"))
        async with holder.transaction():
            await holder.execute("SELECT pg_advisory_xact_lock(hashtext($1))", house.schema)
            trying = asyncio.create_task(
                house.sql("SELECT @.move_outbox_singly_v1(1000, 60000)::text AS moved")
            )
            while not await holder.fetchval(  # noqa: ASYNC110 - a server is waited for
                "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND objid = "
                "hashtext($1)::bigint & 4294967295)",
                house.schema,
            ):
                await asyncio.sleep(0.001)
            # Its number is lower, and it is committed while the other is being tried.
            await early.execute("COMMIT; BEGIN")
    await trying
    await early.close()
    await holder.close()

    await house.mover.move()

    assert [stored.name for stored in await house.log()] == ["early"]
    assert [row.stream_id for row in await house.mover.rejected()] == ["guest-odd"]


async def test_a_rejected_row_that_was_mended_can_be_staged_again(house: House) -> None:
    await house.sql(INSERT, *GOOD[:1], "Invited", *GOOD[2:])
    await house.mover.move()
    (rejected,) = await house.mover.rejected()
    await house.sql(
        "UPDATE @.outbox_rejected SET type = 'guests.invited' WHERE seq = $1", rejected.seq
    )

    count = await house.mover.redrive([rejected.seq, 99])
    await house.mover.move()

    assert count == 1
    assert await house.mover.rejected() == ()
    (row,) = await house.sql("SELECT id FROM @.events")
    assert row["id"] == rejected.id
