"""The demo with trouble: what holds while a customer's letters are parked, and after mending."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from examples.shop.analytics.baskets import CountingSink
from examples.shop.app import make_shop
from examples.shop.chaos.postbox import Postbox
from examples.shop.chaos.trouble import Trouble
from examples.shop.checks import Findings, MailBooks, check
from examples.shop.intake.ids import order_id_of
from examples.shop.intake.importing import import_purchases
from examples.shop.intake.purchases import Purchase
from examples.shop.intake.source import OpenInput
from examples.shop.intake.sums import Sums
from examples.shop.mail.confirmations import CountConfirmations
from examples.shop.mail.service import CountingMail
from headwater import App, RefusedError
from headwater.errors import ParkedKeyError
from headwater.operations.dead_letters import DeliveryState, Selection

MAIL: Final = "mail.send-confirmation"
SETTLE_SECONDS: Final = 600.0
LOOK_SECONDS: Final = 0.2

UNDER_WAY: Final = Selection(states=frozenset((DeliveryState.DELAYED, DeliveryState.READY)))
HELD: Final = Selection(MAIL, states=frozenset())


class Parked(msgspec.Struct, frozen=True):
    """A key that stood still: why, and how many letters waited for it."""

    subscription: str
    key: str
    error: str
    letters: int


class Outcome(msgspec.Struct, frozen=True):
    """What came of it: the key that was parked, what held then, and after it was mended."""

    parked: Sequence[Parked]
    held_meanwhile: dict[str, bool]
    findings: Findings
    kills: int
    letters: int
    repeated: int

    @property
    def ok(self) -> bool:
        """Whether one key was parked, and all held, before and after."""
        return len(self.parked) == 1 and all(self.held_meanwhile.values()) and self.findings.ok

    def summary(self) -> dict[str, object]:
        """Return what of it is not in the findings, for JSON."""
        return {
            "parked": [msgspec.to_builtins(one) for one in self.parked],
            "meanwhile": self.held_meanwhile,
            "workers_killed": self.kills,
            "letters": self.letters,
            "letters_repeated": self.repeated,
        }


def print_outcome(outcome: Outcome) -> None:
    """Print *outcome* for people."""
    print(
        f"\n{outcome.findings.orders:,} orders, {outcome.kills} worker killed. "
        f"{outcome.letters:,} letters arrived, {outcome.repeated} of them twice."
    )
    for one in outcome.parked:
        print(f"Parked and mended: {one.subscription}, key {one.key}, {one.letters} letters.")
    for title, invariants in (
        ("What held while it was parked:", outcome.held_meanwhile),
        ("What holds after it was mended:", outcome.findings.invariants),
    ):
        print(f"\n{title}")
        for name, holds in invariants.items():
            print(f"  {'yes' if holds else 'NO '}  {name.replace('_', ' ')}")


async def run_chaos(
    purchases: Sequence[Purchase],
    storage: str,
    sums: Sums,
    *,
    say: Callable[[str], None],
    step: Callable[[], None],
    refused: Callable[[Purchase, RefusedError], None],
) -> Outcome:
    """Run *purchases* through a shop on a new *storage* whose workers are other processes."""
    postbox = Postbox()
    with tempfile.TemporaryDirectory(prefix="headwater-chaos-") as folder:
        log = Path(folder) / "workers.log"
        trouble = Trouble(purchases, storage=storage, postbox=postbox, log=log, say=say)
        # This process only sends; its mail is never asked for.
        shop = make_shop(
            storage, email=CountingMail(), sink=CountingSink(), run_subscriptions=False
        )
        async with shop:
            try:
                await trouble.begin()
                return await _Chaos(shop, trouble, postbox, say).run(
                    purchases, sums, step=step, refused=refused
                )
            finally:
                await trouble.close()


class _Chaos:
    def __init__(
        self, app: App, trouble: Trouble, postbox: Postbox, say: Callable[[str], None]
    ) -> None:
        self._app, self._trouble, self._postbox, self._say = app, trouble, postbox, say
        self._letters = app.dead_letters
        self._books = MailBooks(app, postbox)

    async def run(
        self,
        purchases: Sequence[Purchase],
        sums: Sums,
        *,
        step: Callable[[], None],
        refused: Callable[[Purchase, RefusedError], None],
    ) -> Outcome:
        def done() -> None:
            step()
            self._trouble.step()

        await self._books.open()
        await self._app.send(OpenInput(order_id_of(purchases[0])))
        await import_purchases(self._app, sums.counted(iter(purchases)), done=done, refused=refused)
        await self._trouble.end()
        await self._settle()
        parked = await self._parked()
        for one in parked:
            self._say(
                f"{one.subscription}: key {one.key} is parked with {one.letters} letters, all "
                f"others are through. {one.error}"
            )
        meanwhile = await self._check_meanwhile(sums)
        await self._mend()
        findings = await check(self._app, sums, self._books)
        return Outcome(
            parked,
            meanwhile,
            findings,
            self._trouble.kills,
            self._postbox.sent,
            self._postbox.letters.total() - self._postbox.sent,
        )

    async def _mend(self) -> None:
        self._postbox.refused = ()
        dead = await self._letters.list(Selection(MAIL))
        await self._letters.replay(dead, by="demo", reason="the mailbox is there again")
        self._say("The mailbox is there again, and what was parked is replayed.")
        await self._until_none(HELD)
        await self._settle()

    async def _settle(self) -> None:
        """Return when all subscriptions have come to the end, but for what is parked."""
        names = [one.name for one in self._app.catalogue().subscriptions]
        settled = -1
        while (head := await self._app.storage.head()) != settled:
            for name in names:
                await self._wait(name, head)
            await self._until_none(UNDER_WAY)
            settled = head

    async def _wait(self, name: str, head: int) -> None:
        waiting = asyncio.create_task(self._app.wait_for(name, head, timeout=SETTLE_SECONDS))
        try:
            while not (await asyncio.wait((waiting,), timeout=LOOK_SECONDS))[0]:
                self._trouble.check()
            try:
                await waiting
            except ParkedKeyError:
                # That is what this demo is about; it is looked at when all others are through.
                return
        finally:
            waiting.cancel()

    async def _until_none(self, selection: Selection) -> None:
        async with asyncio.timeout(SETTLE_SECONDS):
            while await self._letters.count(selection):
                self._trouble.check()
                await asyncio.sleep(LOOK_SECONDS)

    async def _parked(self) -> Sequence[Parked]:
        dead = await self._letters.list(Selection(MAIL))
        held = await self._letters.list(HELD)
        return [
            Parked(
                one.subscription,
                one.key,
                one.message,
                sum(other.key == one.key for other in held),
            )
            for one in dead
        ]

    async def _check_meanwhile(self, sums: Sums) -> dict[str, bool]:
        findings = await check(self._app, sums, self._books)
        held = await self._letters.count(HELD)
        sent = await self._app.send(CountConfirmations())
        return {
            **{
                name: holds
                for name, holds in findings.invariants.items()
                if name != "mail_once_per_order"
            },
            "only_parked_letters_missing": sent + held == findings.orders,
        }
