"""What an app consists of, for those who look after its storages."""

from collections.abc import Mapping

import msgspec

from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec


class CataloguedSubscription(msgspec.Struct, frozen=True):
    """A subscription, and the storage that has its checkpoints.

    `collection` holds the rows that it writes and can write again from the beginning of the log;
    None for a subscriber, and for a projection that is a function.
    """

    name: str
    storage: Storage
    collection: str | None = None


class Catalogue(msgspec.Struct, frozen=True):
    """The types and subscriptions of an app, and its databases beside the one with the log."""

    codec: EventCodec
    subscriptions: tuple[CataloguedSubscription, ...]
    databases: Mapping[str, Storage]
