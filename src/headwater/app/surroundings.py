"""What an app gives its contexts to work with."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.clock import Clock
from headwater.mediator.background import OnError
from headwater.mediator.dispatch import Unheard
from headwater.mediator.limits import DEFAULT_LIMITS, Limits
from headwater.mediator.registrations import Strategy
from headwater.mediator.sending import Publisher, Sender
from headwater.metadata import MessageContext
from headwater.ports.container import Container
from headwater.ports.storage import Storage
from headwater.serialization.personal.personal_data import PersonalData
from headwater.unit_of_work.unit import UnitOfWork

if TYPE_CHECKING:
    from headwater.adapters.container.dishka import BaseProvider


class Surroundings(msgspec.Struct, frozen=True):
    """The storages, dependencies and settings of an app."""

    name: str
    storage: Storage
    databases: Mapping[str, Storage]
    clock: Clock
    container: Container | None
    instances: Mapping[Any, Any]
    on_error: OnError | None
    strategy: Strategy
    unheard: Unheard
    limits: Limits = DEFAULT_LIMITS
    personal: PersonalData | None = None


def dishka_container(
    providers: "Sequence[BaseProvider]", instances: Mapping[Any, Any]
) -> Container:
    """Return a container for what *providers* and *instances* give, the latter first."""
    # Importing dishka imports pydantic, where it is installed: only who uses it shall wait.
    from headwater.adapters.container.dishka import DishkaContainer  # noqa: PLC0415

    return DishkaContainer(
        *providers,
        from_message=(MessageContext, UnitOfWork, Sender, Publisher),
        overrides=instances,
    )
