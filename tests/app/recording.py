"""Something that is recorded, and where it arrives."""

from decimal import Decimal
from uuid import UUID

from headwater.messages import Command

A, B = UUID(int=1), UUID(int=2)

TEN = Decimal(10)


class BoomError(Exception):
    pass


class Record(Command[None], context="sales"):
    pass
