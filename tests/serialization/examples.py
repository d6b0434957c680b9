"""Events with every kind of field, for the tests of the codec."""

import dataclasses
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic

from headwater.messages import Event, Value

T = TypeVar("T")
CustomerId = NewType("CustomerId", str)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Line(Value):
    sku: str
    quantity: int
    price: Decimal


class GiftLine(Line):
    wish: str = ""


class Card(Value, tag=True):
    number: str


class Transfer(Value, tag="iban"):
    iban: str
    day: date | None = None


class Pair(NamedTuple):
    left: int
    right: str


class Box(Event, Generic[T]):
    content: T


class OrderPlaced(Event):
    order_id: UUID
    customer: CustomerId
    lines: tuple[Line, ...]
    total: Decimal


class Everything(Event, kw_only=True):
    text: str = ""
    whole: int = 0
    real: float = 0.0
    truth: bool = False
    exact: Decimal = Decimal(0)
    id: UUID = UUID(int=0)
    data: bytes = b""
    moment: datetime | None = None
    day: date | None = None
    clock: time | None = None
    span: timedelta = timedelta()
    colour: Colour = Colour.RED
    size: Size = Size.SMALL
    level: Level = Level.LOW
    kind: Literal["a", "b", 3] = "a"
    line: Line | None = None
    method: Card | Transfer | None = None
    pair: Pair | None = None
    lines: tuple[Line, ...] = ()
    moments: tuple[datetime, ...] = ()
    fixed: tuple[int, str] = (0, "")
    words: list[str] = msgspec.field(default_factory=list[str])
    numbers: frozenset[int] = frozenset()
    ids: set[UUID] = msgspec.field(default_factory=set[UUID])
    by_day: dict[date, Decimal] = msgspec.field(default_factory=dict[date, Decimal])
    by_number: dict[int, list[Line]] = msgspec.field(default_factory=dict[int, list[Line]])
    mixed: int | float | str | None = None
    positive: Annotated[int, msgspec.Meta(ge=0)] = 0
    optional: int | msgspec.UnsetType = msgspec.UNSET
    anything: Any = None


@dataclasses.dataclass(frozen=True)
class Paid:
    order_id: UUID
    amount: Decimal
    lines: tuple[Line, ...] = ()
    note: str = dataclasses.field(default="", compare=False)


@attrs.frozen
class PaidBack:
    order_id: UUID
    amount: Decimal
    lines: tuple[Line, ...] = ()


class Address(pydantic.BaseModel, frozen=True):
    street: str
    since: datetime | None = None


class SpecialAddress(Address, frozen=True):
    wish: str = ""


class Signup(pydantic.BaseModel, frozen=True):
    email: str = pydantic.Field(alias="eMail")
    total: Decimal = Decimal(0)
    id: UUID = UUID(int=0)
    address: Address | None = None
    scores: tuple[int, ...] = ()
    rate: float = 0.0
