"""A world outside in which payments happen, seen only by asking it."""

from uuid import UUID

from headwater.messages import Value
from headwater.subscriptions.effect_calls import Happened
from headwater.subscriptions.effects import UncertainEffect

KEY = UUID(int=7)


class Paid(Value):
    """What comes of a payment."""

    number: int
    place: tuple[str, ...] = ("till",)


class Till:
    """Counts payments; `broken` is raised before one happens, `lost` after it has."""

    def __init__(self) -> None:
        self.paid: list[Paid] = []
        self.asked: list[UncertainEffect] = []
        self.broken: Exception | None = None
        self.lost: Exception | None = None

    async def pay(self) -> Paid:
        if self.broken is not None:
            raise self.broken
        self.paid.append(Paid(len(self.paid) + 1))
        if self.lost is not None:
            raise self.lost
        return self.paid[-1]

    async def find_out(self, effect: UncertainEffect) -> Happened[Paid] | None:
        self.asked.append(effect)
        return Happened(self.paid[-1]) if self.paid else None
