"""Read models of the past: rows as of a position or a time, folded from the log again."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater import App, BoundedContext, Collection, ManualClock, Projection, Receipt, applies
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    ConfigurationError,
    HistoryUnavailableError,
    LimitExceededError,
    MomentError,
)
from headwater.ports.changes import Changes, StreamAction, StreamChange
from headwater.ports.storage import Storage
from headwater.projections import history
from headwater.streams import ExpectedVersion
from headwater.subscriptions.start import position_at
from tests.subscriptions.ledger import Balance, Balances, Booked, Closed

BEGUN = datetime(2024, 1, 1, tzinfo=UTC)


def new_app(storage: Storage, *projections: type) -> App:
    accounts = BoundedContext("accounts")
    for projection in projections or (Balances,):
        accounts.projection(projection)
    app = App("bank", storage=storage, run_subscriptions=False)
    app.include(accounts)
    return app


async def book(app: App, account: str, *events: object) -> int:
    any_version = ExpectedVersion.any()
    appended = await app.event_store.append(f"ledger-{account}", events, expected=any_version)
    return appended.position


async def test_a_row_as_of_every_position(storage: Storage) -> None:
    app = new_app(storage)
    async with app:
        await book(app, "7", Booked("7", 10))
        await book(app, "8", Booked("8", 1))
        await book(app, "7", Booked("7", 5))
        await book(app, "7", Closed("7"))

        shown = [await app.read_model_as_of(Balance, "7", at=position) for position in range(5)]

        assert [row.cents if row else None for row in shown] == [None, 10, 10, 15, None]


async def test_what_stands_at_a_position_names_it(storage: Storage) -> None:
    app = new_app(storage)
    async with app:
        await book(app, "7", Booked("7", 10))
        receipt = Receipt(None, await book(app, "7", Booked("7", 5)))
        await book(app, "7", Booked("7", 1))

        row = await app.read_model_as_of(Balance, "7", at=receipt)
        rows = await app.read_models_as_of(Balance, at=receipt)

        assert row is not None
        assert row.cents == rows["7"].cents == 15


@pytest.mark.parametrize("at", ["yesterday", None, True, 2.5, date(2024, 1, 1)])
async def test_what_names_no_place_in_the_past_is_told(storage: Storage, at: Any) -> None:
    async with new_app(storage) as app:
        with pytest.raises(MomentError, match=f"it is a {type(at).__name__}"):
            await app.read_model_as_of(Balance, "7", at=at)


async def test_all_rows_as_of_a_position(storage: Storage) -> None:
    app = new_app(storage)
    async with app:
        await book(app, "7", Booked("7", 10))
        await book(app, "8", Booked("8", 1))
        await book(app, "7", Closed("7"))

        assert await app.read_models_as_of(Balances, at=2) == {
            "7": Balance("7", 10, 1, 1),
            "8": Balance("8", 1, 1, 2),
        }
        assert [*await app.read_models_as_of(Balance, at=3)] == ["8"]


async def test_what_was_recorded_by_a_time_counts() -> None:
    clock = ManualClock(BEGUN)
    storage = MemoryStorage(clock)
    app = new_app(storage)
    async with app:
        for cents in (1, 2, 3):
            await book(app, "7", Booked("7", cents))
            clock.advance(60)

        async def cents_at(seconds: float) -> int | None:
            at = BEGUN + timedelta(seconds=seconds)
            row = await app.read_model_as_of(Balance, "7", at=at)
            return row.cents if row else None

        assert [await cents_at(s) for s in (-1, 0, 59, 60, 120, 9999)] == [None, 1, 1, 3, 6, 6]


async def test_streams_that_were_archived_since_are_shown(storage: Storage) -> None:
    app = new_app(storage)
    async with app:
        await book(app, "7", Booked("7", 10))
        await storage.commit(Changes(streams=(StreamChange("ledger-7", StreamAction.ARCHIVE),)))

        row = await app.read_model_as_of(Balance, "7", at=1)

        assert row == Balance("7", 10, 1, 1)


async def test_what_the_log_has_not_come_to_is_said(storage: Storage) -> None:
    app = new_app(storage)
    async with app:
        await book(app, "7", Booked("7", 10))

        with pytest.raises(HistoryUnavailableError, match=r"position 2: the head .* position 1"):
            await app.read_model_as_of(Balance, "7", at=2)
        with pytest.raises(MomentError, match="count from 0"):
            await app.read_model_as_of(Balance, "7", at=-1)
        with pytest.raises(MomentError, match="no time zone"):
            await app.read_model_as_of(Balance, "7", at=datetime(2024, 1, 1))  # noqa: DTZ001


async def test_too_many_rows_are_an_error(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "AS_OF_ROWS_MAX", 2)
    app = new_app(storage)
    async with app:
        for account in ("7", "8", "9"):
            await book(app, account, Booked(account, 1))

        with pytest.raises(LimitExceededError, match="rows of Balances"):
            await app.read_models_as_of(Balance, at=3)


async def test_what_writes_rows_itself_is_not_shown(storage: Storage) -> None:
    class Writing:
        async def handle_booked(self, event: Booked, balances: Collection[Balance]) -> None:
            balances.put(Balance(event.account, event.cents))

    app = new_app(storage, Writing)
    async with app:
        with pytest.raises(ConfigurationError, match="no class derived from Projection"):
            await app.read_model_as_of(Balance, "7", at=0)


async def test_of_two_projections_one_is_named(storage: Storage) -> None:
    class Doubled(Projection[Balance]):
        @applies
        def booked(self, event: Booked, row: Balance | None) -> Balance:
            return Balance(event.account, event.cents * 2)

    app = new_app(storage, Balances, Doubled)
    async with app:
        await book(app, "7", Booked("7", 10))

        with pytest.raises(ConfigurationError, match="Several projections compute Balance"):
            await app.read_model_as_of(Balance, "7", at=1)
        assert await app.read_model_as_of(Doubled, "7", at=1) == Balance("7", 20)


@settings(max_examples=60, deadline=None)
@given(
    pauses=st.lists(st.integers(0, 2), max_size=15),
    erased=st.sets(st.integers(0, 14)),
    asked=st.integers(-1, 30),
)
def test_a_time_falls_on_the_last_event_recorded_by_then(
    pauses: list[int], erased: set[int], asked: int
) -> None:
    async def run() -> None:
        clock = ManualClock(BEGUN)
        storage = MemoryStorage(clock)
        await storage.open()
        app = new_app(storage)
        async with app:
            left: list[tuple[datetime, int]] = []
            for n, pause in enumerate(pauses):
                clock.advance(pause)
                position = await book(app, str(n), Booked(str(n), 1))
                if n not in erased:
                    left.append((clock.now(), position))
            for n in sorted(erased & {*range(len(pauses))}):
                change = StreamChange(f"ledger-{n}", StreamAction.TOMBSTONE)
                await storage.commit(Changes(streams=(change,)))
            moment = BEGUN + timedelta(seconds=asked)

            found = await position_at(storage, moment)

            by_then = [position for when, position in left if when <= moment]
            later = [position for when, position in left if when > moment]
            # Between the two any will do: what stood there was erased.
            assert max(by_then, default=0) <= found < min(later, default=len(pauses) + 1)

    asyncio.run(run())
