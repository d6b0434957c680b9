"""A small system whose effects tell whether each event had its effect once, and in order.

Accounts move: the event `Moved` says which of its account's moves it is. A subscriber and a
projection count the moves, and a chain over their numbers shows an order that was not kept.
"""

import zlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol
from uuid import UUID

from headwater import (
    Aggregate,
    BoundedContext,
    Collection,
    Command,
    Delivery,
    EffectLedger,
    Event,
    Happened,
    Mediator,
    Projection,
    ReadModel,
    Repository,
    applies,
)
from headwater.subscriptions.effects import UncertainEffect

CHARGED_EVERY: Final = 3
"""One move of so many is charged, by a command with a commit of its own."""

POSTED_EVERY: Final = 5
"""One move of so many is posted, by the effect ledger."""

POSTED: Final = "posted"
"""What stands outside in the place of an idempotency key for what was posted."""

POST_SECONDS: Final = 0.3
"""How long a post may take; for so long a worker that died may still be at it."""


FAILS_EVERY: Final = 7
"""One move of so many fails when it is tried for the first time."""

DELAYS: Final = (0.02, 0.02)
"""The seconds after which it is tried again."""


class NotNowError(Exception):
    """What fails and passes."""


class Moved(Event, context="survival"):
    account: str
    number: int


class Noted(Event, context="survival"):
    number: int


class Charged(Event, context="survival"):
    number: int


class Charge(Command[None], context="survival"):
    account: str
    number: int


class Journal(Aggregate[str], context="survival"):
    """What a subscriber appends: one note for each move."""

    notes: int = 0

    def note(self, number: int) -> None:
        self.record(Noted(number))

    @applies
    def _noted(self, event: Noted) -> None:
        self.notes += 1


class Bill(Aggregate[str], context="survival"):
    """What a command of a subscriber appends in a commit of its own."""

    charges: int = 0

    def charge(self, number: int) -> None:
        self.record(Charged(number))

    @applies
    def _charged(self, event: Charged) -> None:
        self.charges += 1


class Tally(ReadModel, key="account", context="survival"):
    """A row that a subscriber writes."""

    account: str
    moves: int = 0
    chain: int = 0


class Total(ReadModel, key="account", context="survival"):
    """A row that a projection folds."""

    account: str
    moves: int = 0
    chain: int = 0


class Totals(Projection[Total]):
    @applies
    def moved(self, event: Moved, row: Total | None) -> Total:
        before = row or Total(event.account)
        return Total(event.account, before.moves + 1, linked(before.chain, event.number))


class Outside(Protocol):
    """What no commit can undo."""

    def call(self, event: Moved, key: UUID) -> None:
        """Note that it was called for *event* with an idempotency key."""
        ...

    def post(self, event: Moved) -> None:
        """Do something that must not be done twice."""
        ...

    def was_posted(self, event: Moved) -> bool:
        """Return whether that was done for *event*."""
        ...


Moment = Callable[[str, Moved, Delivery], Awaitable[None]]
"""Hears where in the handling of an event the handler is: ``begun``, ``charged``, ``done``."""


def linked(chain: int, number: int) -> int:
    """Return the chain with one more *number* at its end."""
    return zlib.crc32(f"{chain}:{number}".encode())


def counting(outside: Outside, moment: Moment) -> BoundedContext:
    """Return the context: a subscriber with effects of all kinds, and a projection."""
    survival = BoundedContext("survival")
    survival.projection(Totals)

    @survival.handler
    async def charge(command: Charge, bills: Repository[Bill]) -> None:
        bill = await bills.find(command.account)
        if bill is None:
            bills.add(bill := Bill(command.account))
        bill.charge(command.number)

    @survival.subscriber(key=lambda recorded: recorded.payload.account, delayed=DELAYS)
    async def count(  # noqa: PLR0917 - one for each kind of effect
        event: Moved,
        delivery: Delivery,
        tallies: Collection[Tally],
        journals: Repository[Journal],
        mediator: Mediator,
        ledger: EffectLedger,
    ) -> None:
        await moment("begun", event, delivery)
        before = await tallies.get(event.account) or Tally(event.account)
        outside.call(event, delivery.idempotency_key)
        if event.number % FAILS_EVERY == 0 and delivery.attempt == 1:
            raise NotNowError
        journal = await journals.find(event.account)
        if journal is None:
            journals.add(journal := Journal(event.account))
        journal.note(event.number)
        if event.number % CHARGED_EVERY == 0:
            await charge_once(event, delivery, mediator)
            await moment("charged", event, delivery)
        if event.number % POSTED_EVERY == 0:
            await post_once(event, outside, ledger)
        chain = linked(before.chain, event.number)
        tallies.put(Tally(event.account, before.moves + 1, chain))
        await moment("done", event, delivery)

    return survival


async def charge_once(event: Moved, delivery: Delivery, mediator: Mediator) -> None:
    """Send the command that has a commit of its own; its id makes it count once."""
    command = Charge(event.account, event.number)
    await mediator.send(command, id=delivery.idempotency_key, separate=True)


async def post_once(event: Moved, outside: Outside, ledger: EffectLedger) -> None:
    """Post by the ledger; after a crash the world outside knows whether it was done."""

    async def post() -> None:
        outside.post(event)

    async def has_happened(_effect: UncertainEffect) -> Happened[None] | None:
        return Happened(None) if outside.was_posted(event) else None

    await ledger.once("post", post, reconcile=has_happened, within=POST_SECONDS)
