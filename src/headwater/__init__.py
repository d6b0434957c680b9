"""Headwater: event-driven systems in Python, from one SQLite file to many processes.

What most programs need stands here; the rest is imported from its own module.
"""

from headwater.app import App, BoundedContext
from headwater.app.personal_data import PersonalDataSettings
from headwater.clock import Clock, ManualClock, SystemClock
from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.decider import Decider
from headwater.domain.decision_model import DecisionModel, EventCriteria
from headwater.domain.read_model import ReadModel
from headwater.domain.snapshots import Snapshots
from headwater.errors import HeadwaterError, RefusedError
from headwater.event_store import EventData, EventStore
from headwater.mediator import (
    Handlers,
    Mediator,
    Next,
    Publisher,
    Receipt,
    Sender,
    Stage,
    Strategy,
)
from headwater.messages import (
    Command,
    Event,
    IntegrationEvent,
    Message,
    Notification,
    Query,
    RawEvent,
    Request,
    Value,
    message,
)
from headwater.metadata import MessageContext, Recorded, current_context, message_context
from headwater.monitoring.settings import Monitoring
from headwater.operations.retention import Retention
from headwater.projections.projection import Projection
from headwater.resilience import (
    Bulkhead,
    CircuitBreaker,
    Fallback,
    Policy,
    RateLimit,
    Retry,
    Timeout,
)
from headwater.serialization.personal import Personal, PersonalData, Subject
from headwater.streams import ExpectedVersion
from headwater.subscriptions.batching import Batching
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.effect_calls import Happened
from headwater.subscriptions.effect_ledger import EffectLedger
from headwater.subscriptions.effects import UncertainEffect
from headwater.subscriptions.failures.policy import OnFailure
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.start import Start
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.repository import Repository
from headwater.unit_of_work.row_type import where
from headwater.unit_of_work.unit import UnitOfWork

__all__ = [
    "Aggregate",
    "App",
    "Batching",
    "BoundedContext",
    "Bulkhead",
    "CircuitBreaker",
    "Clock",
    "Collection",
    "Command",
    "Decider",
    "DecisionModel",
    "Delivery",
    "EffectLedger",
    "Event",
    "EventCriteria",
    "EventData",
    "EventStore",
    "ExpectedVersion",
    "Fallback",
    "Handlers",
    "Happened",
    "HeadwaterError",
    "IntegrationEvent",
    "ManualClock",
    "Mediator",
    "Message",
    "MessageContext",
    "Monitoring",
    "Next",
    "Notification",
    "OnFailure",
    "Personal",
    "PersonalData",
    "PersonalDataSettings",
    "Policy",
    "Projection",
    "Publisher",
    "Query",
    "RateLimit",
    "RawEvent",
    "ReadModel",
    "Receipt",
    "Recorded",
    "RefusedError",
    "Repository",
    "Request",
    "Retention",
    "Retry",
    "Sender",
    "Snapshots",
    "Stage",
    "Start",
    "Strategy",
    "Subject",
    "SystemClock",
    "Timeout",
    "UncertainEffect",
    "UnitOfWork",
    "Value",
    "Workers",
    "applies",
    "current_context",
    "message",
    "message_context",
    "where",
]
