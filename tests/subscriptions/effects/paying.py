"""A worker that pays for each order at a till outside; run as a program it dies at a fail point."""

import asyncio
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

from headwater import App, BoundedContext, Event, SystemClock
from headwater.streams import ExpectedVersion
from headwater.subscriptions import fail_points
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.effect_calls import Happened
from headwater.subscriptions.effect_ledger import EffectLedger
from headwater.subscriptions.effects import UncertainEffect


class Ordered(Event, name="ordered", context="paying"):
    order: str


class HourAgo(SystemClock):
    """What a worker does under it was over an hour ago, and so were its leases."""

    def now(self) -> datetime:
        return super().now() - timedelta(hours=1)


class Outside:
    """A file, a line for each payment; it remembers who asked whether one has happened."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.asked: list[UncertainEffect] = []

    @property
    def payments(self) -> list[str]:
        return self._file.read_text().splitlines() if self._file.exists() else []

    async def pay(self, key: str) -> str:
        await asyncio.to_thread(self._write, key)
        return key

    async def find_out(self, effect: UncertainEffect) -> Happened[str] | None:
        self.asked.append(effect)
        paid = await asyncio.to_thread(lambda: self.payments)
        return Happened(effect.key) if effect.key in paid else None

    def _write(self, key: str) -> None:
        with self._file.open("a") as file:
            file.write(f"{key}\n")


def paying(place: Path, outside: Outside, *, clock: SystemClock) -> App:
    """Return an app on the files of *place* whose subscriber pays."""
    context = BoundedContext("paying")
    context.register(Ordered)

    @context.subscriber(partitions=1, name="pay")
    async def pay(event: Ordered, ledger: EffectLedger, delivery: Delivery) -> None:
        key = str(delivery.idempotency_key)
        paid = await ledger.once(
            "pay", lambda: outside.pay(key), returns=str, reconcile=outside.find_out
        )
        assert paid == key

    app = App("paying", storage=f"sqlite:///{place / 'log.db'}", clock=clock)
    app.include(context)
    return app


async def _die_at(place: Path, fail_point: str) -> None:
    def strike(name: str) -> None:
        if name == fail_point:
            os.kill(os.getpid(), signal.SIGKILL)

    fail_points.strike = strike
    async with paying(place, Outside(place / "till"), clock=HourAgo()) as app:
        await app.event_store.append("order-1", [Ordered("1")], expected=ExpectedVersion.any())
        await app.settle()


if __name__ == "__main__":
    asyncio.run(_die_at(Path(sys.argv[1]), sys.argv[2]))
