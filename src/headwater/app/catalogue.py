"""What an app consists of, for those who look after its storages."""

from collections.abc import Mapping

import msgspec

from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.serialization.personal.personal_data import PersonalData


class CataloguedSubscription(msgspec.Struct, frozen=True):
    """A subscription, and the storage that has its checkpoints.

    `collection` holds the rows that it writes and can write again from the beginning of the log;
    None for a subscriber, and for a projection that is a function.
    """

    name: str
    storage: Storage
    collection: str | None = None


class Catalogue(msgspec.Struct, frozen=True):
    """The types and subscriptions of an app, and its databases beside the one with the log.

    With *personal_data*, storages and databases give personal fields in the clear where those
    keys are open; what they hold themselves is their `inner` storage's.
    """

    codec: EventCodec
    subscriptions: tuple[CataloguedSubscription, ...]
    databases: Mapping[str, Storage]
    personal_data: PersonalData | None = None
