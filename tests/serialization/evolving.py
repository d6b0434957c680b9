"""Events of today, and codecs that read older forms of them."""

from decimal import Decimal
from typing import cast

from headwater.messages import Event
from headwater.ports.log import StoredEvent
from headwater.serialization import EventCodec, TypeRegistry, Upcasters
from headwater.serialization.personal import PersonalData


class Placed(Event, name="sales.order-placed", version=3):
    order: str
    customer_name: str
    total: Decimal
    currency: str = "EUR"


class Created(Event, name="sales.customer-created"):
    name: str


class Moved(Event, name="sales.customer-moved"):
    city: str


def codec_with(upcasters: Upcasters, *types: type, personal: bool = False) -> EventCodec:
    # What is personal is packed here, and sealed elsewhere: no key is asked for.
    registry = TypeRegistry(personal=cast("PersonalData", object()) if personal else None)
    for cls in types:
        registry.register(cls)
    return EventCodec(registry, upcasters=upcasters)


def stored(type: str, version: int, data: str) -> StoredEvent:
    return StoredEvent(7, "sales.customer-1", 3, b"\x01" * 16, type, version, data, 1, 2)
