"""An order of some things that happen to it."""

from uuid import UUID

from headwater.messages import Event
from tests.domain.shop import (
    Line,
)

ID = UUID(int=7)

CD = Line("cd", 1)


class Happened(Event):
    text: str = ""


class HappenedAgain(Happened):
    pass
