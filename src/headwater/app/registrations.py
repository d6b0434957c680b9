"""What a context remembers of its subscribers and projections until the app wires them."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypedDict

import msgspec

from headwater.clock import Duration
from headwater.domain.aggregate import Aggregate
from headwater.mediator.registrations import DeliveryRegistration
from headwater.metadata import Recorded
from headwater.projections.projection import Projection
from headwater.resilience import Guard
from headwater.subscriptions.batching import Batching
from headwater.subscriptions.failures.policy import WAITING_MAX, OnFailure
from headwater.subscriptions.start import BEGINNING, Start
from headwater.subscriptions.subscription import PARTITIONS

SUBSCRIBER_PAGE_EVENTS: Final = 200
"""How many events a subscriber gets at most before their effects are committed."""

Category = str | type[Aggregate[Any]]
"""What stands before the first ``-`` of stream ids, or the aggregate whose streams are meant."""

Key = Callable[[Recorded[Any]], object]
"""Gives the key of an event: events of one key stay in order."""


class ReadingOptions(TypedDict, total=False):
    """What a subscription reads, and in what order it hands that over."""

    name: str | None
    key: Key | None
    partitions: int
    start: Start
    categories: Sequence[Category]
    tags: Sequence[str]
    tenants: Sequence[str]
    page_events: int


class SubscriberOptions(ReadingOptions, total=False):
    """The options of `BoundedContext.subscriber`, which says what they do."""

    policy: Guard | None
    delayed: Sequence[Duration]
    on_failure: OnFailure
    waiting_max: int
    batch: Batching | None
    external: bool
    inline: bool


class SubscriberRegistration(msgspec.Struct, frozen=True, eq=False):
    """A durable handler, and how its subscription reads and deals with failures."""

    delivery: DeliveryRegistration
    name: str | None = None
    key: Key | None = None
    partitions: int = PARTITIONS
    start: Start = BEGINNING
    categories: Sequence[Category] = ()
    tags: Sequence[str] = ()
    tenants: Sequence[str] = ()
    page_events: int = SUBSCRIBER_PAGE_EVENTS
    delayed: Sequence[Duration] = ()
    on_failure: OnFailure = OnFailure.PARK_KEY
    waiting_max: int = WAITING_MAX
    batch: Batching | None = None
    external: bool = True


class ProjectionRegistration(msgspec.Struct, frozen=True, eq=False):
    """A projection, and the database that its rows live in (None: with the log)."""

    projection: type[Projection[Any]]
    site: str
    database: str | None
