"""A running app forgets receipts that are older than its retention says."""

import asyncio
from datetime import timedelta

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.app import App
from headwater.clock import ManualClock
from headwater.operations.retention import Retention
from headwater.ports.changes import Changes, NewReceipt
from headwater.subscriptions.effect_ledger import EffectLedger
from headwater.testing.conformance.builders import id_bytes


@pytest.mark.parametrize("forgets", [True, False])
async def test_an_app_forgets_old_receipts_only_if_it_has_a_retention(
    clock: ManualClock, *, forgets: bool
) -> None:
    log, database = MemoryStorage(clock), MemoryStorage(clock)
    id = id_bytes()
    for storage in (log, database):
        await storage.open()
        await storage.commit(Changes(receipts=(NewReceipt("mail", id, b"1" * 16, "1"),)))
    clock.advance(timedelta(days=31))
    app = App(
        "shop",
        storage=log,
        databases={"reports": database},
        clock=clock,
        retention=Retention() if forgets else None,
    )

    async with app:
        for _ in range(20):
            await asyncio.sleep(0)
        there = [await one.receipt("mail", id) is not None for one in (log, database)]

    assert there == [not forgets] * 2


async def test_an_app_forgets_old_effects_with_its_receipts(clock: ManualClock) -> None:
    done = list[str]()

    async def note() -> None:
        done.append("done")

    app = App("shop", clock=clock, retention=Retention(timedelta(days=2), every=timedelta(days=1)))
    async with app:
        ledger = await app.get(EffectLedger)
        for _ in range(2):
            await ledger.once("note", note, key="1")
        for _ in range(3):
            for _ in range(20):
                await asyncio.sleep(0)
            clock.advance(timedelta(days=1))
        for _ in range(20):
            await asyncio.sleep(0)
        await ledger.once("note", note, key="1")

    assert len(done) == 2
