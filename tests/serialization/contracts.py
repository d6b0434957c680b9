"""Messages whose contracts are compared."""

from enum import Enum
from types import new_class
from typing import Any

from headwater.messages import Event, IntegrationEvent, Value
from headwater.serialization import EventCodec, TypeRegistry, Upcasters
from headwater.serialization.contract import Finding, schema_diff, schema_snapshot

NAME = "sales.order-placed"


def contract(*types: type, upcasters: Upcasters | None = None) -> dict[str, Any]:
    registry = TypeRegistry()
    for cls in types:
        registry.register(cls)
    return schema_snapshot(EventCodec(registry, upcasters=upcasters or ()))


def event(
    annotation: Any = None, *, version: int = 1, published: bool = False, **fields: Any
) -> type:
    """Return an event class; a field is its annotation, or that and a default."""
    given: dict[str, Any] = {"field": annotation, **fields} if annotation else fields

    def fill(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = {
            name: field[0] if isinstance(field, tuple) else field for name, field in given.items()
        }
        namespace |= {n: field[1] for n, field in given.items() if isinstance(field, tuple)}

    base = IntegrationEvent if published else Event
    header = {"name": NAME, "version": version, "kw_only": True}
    return new_class("OrderPlaced", (base,), header, fill)


def findings(before: type, after: type, *, upcasters: Upcasters | None = None) -> list[Finding]:
    return schema_diff(contract(before), contract(after, upcasters=upcasters))


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class MoreColours(Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Line(Value):
    sku: str
    count: int = 1


class Card(Value, tag="card"):
    number: str


class Cash(Value, tag="cash"):
    cents: int = 0


class Node(Value):
    children: tuple["Node", ...] = ()


class Strict(Value, forbid_unknown_fields=True):
    sku: str
