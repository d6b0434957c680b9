"""A projection may park what it can't fold: its key waits, all other rows go on."""

from collections.abc import Sequence

import pytest

from headwater.errors import ParkedKeyError, SwitchError
from headwater.operations.dead_letters.selecting import Selection
from headwater.ports.storage import Storage
from tests.projections.books import (
    ACCOUNTS,
    DEAD,
    EVERYTHING_HELD,
    WAITING,
    Books,
    LooseBooks,
    MendedBooks,
    StrictBooks,
    balances,
    book,
    books,
    nothing_held,
)

POISON: Sequence[tuple[str, int]] = [
    *((account, 5) for account in ACCOUNTS),
    ("a", -1),
    ("b", 7),
    ("a", 9),
    ("a", 11),
    *((account, 1) for account in ACCOUNTS[1:]),
]


async def test_only_the_key_of_what_fails_is_parked_and_follows_in_order_once_replayed(
    storage: Storage,
) -> None:
    async with books(Books, storage) as app:
        at = await book(app, *POISON)
        with pytest.raises(ParkedKeyError, match="a"):
            await app.wait_for(Books, at)
        with pytest.raises(ParkedKeyError):
            await app.settle()

        assert await balances(app) == {
            "a": (5, 1),
            "b": (13, 3),
            **dict.fromkeys(ACCOUNTS[2:], (6, 2)),
        }
        held = await app.dead_letters.list(EVERYTHING_HELD)
        assert [(one.key, one.state) for one in held] == [
            ("a", DEAD),
            ("a", WAITING),
            ("a", WAITING),
        ]
        assert (held[0].error, held[0].message) == ("ValueError", "-1 cents")
        assert len(held[0].code) == 16

    async with books(MendedBooks, storage) as app:
        await app.dead_letters.replay(await app.dead_letters.list(), by="ada")
        await nothing_held(app.dead_letters)
        await app.settle()
        assert (await balances(app))["a"] == (24, 4)


async def test_what_is_parked_waits_also_for_code_that_would_stop(storage: Storage) -> None:
    async with books(Books, storage) as app:
        at = await book(app, ("a", -1))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(Books, at)

    async with books(StrictBooks, storage) as app:
        at = await book(app, ("a", 2), ("b", 2))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(StrictBooks, at)
        assert await balances(app) == {"b": (2, 1)}


async def test_a_dry_run_shows_the_row_and_what_is_edited_is_folded_in_its_place(
    storage: Storage,
) -> None:
    async with books(Books, storage) as app:
        at = await book(app, ("a", 5), ("a", -1), ("a", 3))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(Books, at)
        (dead,) = await app.dead_letters.list()
        corrected = '{"account":"a","cents":1}'

        failing = await app.dead_letters.dry_run(dead.id)
        passing = await app.dead_letters.dry_run(dead.id, data=corrected)

        assert failing.failure is not None
        assert failing.failure.message == "-1 cents"
        [row] = passing.rows
        assert (row.collection, row.key) == ("books_balance", "a")
        assert row.data == '{"account":"a","cents":6,"bookings":2}'
        assert await balances(app) == {"a": (5, 1)}
        await app.dead_letters.edit(dead.id, corrected, author="ada", reason="the sign")
        await app.dead_letters.replay([dead], by="ada")
        await nothing_held(app.dead_letters)
        await app.settle()
        assert await balances(app) == {"a": (9, 3)}


async def test_what_is_discarded_lets_its_key_go_on(storage: Storage) -> None:
    async with books(Books, storage) as app:
        at = await book(app, ("a", -1), ("a", 3))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(Books, at)

        await app.dead_letters.discard(await app.dead_letters.list(), by="ada", reason="a test")
        await nothing_held(app.dead_letters)

        await app.settle()
        assert await balances(app) == {"a": (3, 1)}


async def test_a_projection_may_park_the_event_alone(storage: Storage) -> None:
    async with books(LooseBooks, storage) as app:
        at = await book(app, ("a", 5), ("a", -1), ("a", 3))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(LooseBooks, at)

        assert await balances(app) == {"a": (8, 2)}


async def test_a_generation_has_parked_keys_of_its_own_and_a_switch_wants_consent(
    storage: Storage,
) -> None:
    async with books(Books, storage) as app:
        at = await book(app, ("a", 5), ("a", -1), ("b", 3))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(Books, at)
        await app.projections.rebuild(Books)
        built = await app.projections.wait(Books)
        names = [one.subscription for one in await app.dead_letters.list()]
        assert sorted(names) == ["books.balances", "books.balances@2"]
        assert built.held == 1

        with pytest.raises(SwitchError, match="held back"):
            await app.projections.switch(Books)
        done = await app.projections.switch(Books, accept_parked=True)

        assert done.live is not None
        assert (done.live.number, done.meeting.parked) == (2, 1)
        of_live = Selection("books.balances@2")
        (dead,) = await app.dead_letters.list(of_live)
        shown = await app.dead_letters.dry_run(dead.id, data='{"account":"a","cents":1}')
        assert [row.collection for row in shown.rows] == [done.live.collection]
        await app.projections.drop(Books, 1)
        assert [one.id for one in await app.dead_letters.list()] == [dead.id]
        await app.dead_letters.discard([dead], by="ada", reason="a test")
        await nothing_held(app.dead_letters)
        await app.settle()
        assert await balances(app) == {"a": (5, 1), "b": (3, 1)}


async def test_whoever_waits_in_a_process_without_workers_is_told(storage: Storage) -> None:
    async with books(Books, storage) as app:
        at = await book(app, ("a", -1))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(Books, at)

    async with books(Books, storage, run_subscriptions=False) as app:
        with pytest.raises(ParkedKeyError):
            await app.wait_for(Books, at)
