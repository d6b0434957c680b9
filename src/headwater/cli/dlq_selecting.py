"""Options that say which held deliveries are meant, and how they are shown."""

import getpass
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeAlias

import typer

from headwater.clock import from_microseconds
from headwater.errors import ConfigurationError
from headwater.operations.dead_letters.audit import AuditEntry
from headwater.operations.dead_letters.deliveries import DeliveryState, HeldDelivery
from headwater.operations.dead_letters.looking import HeldDeliveries
from headwater.operations.dead_letters.selecting import Selection

Ids: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="As list shows them.")
]
Id: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="As list shows it.")]
SubscriptionName: TypeAlias = Annotated[
    str | None, typer.Option("--subscription", metavar="NAME", help="Those of one subscription.")
]
Key: TypeAlias = Annotated[
    str | None, typer.Option("--key", help="Those of one key; with --subscription.")
]
GroupId: TypeAlias = Annotated[
    str | None, typer.Option("--group", help="Those that failed alike, as groups shows them.")
]
Every: TypeAlias = Annotated[bool, typer.Option("--all", help="All of them.")]
By: TypeAlias = Annotated[
    str | None,
    typer.Option("--by", help="Who does it; by default the user.", show_default=False),
]
Rehearsed: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
]

Wait: TypeAlias = Annotated[
    float,
    typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait until it is done."),
]


def selection(
    subscription: str | None,
    key: str | None,
    group: str | None,
    states: Sequence[DeliveryState] = (DeliveryState.DEAD,),
) -> Selection:
    """Return what the options mean.

    Raises:
        ConfigurationError: a key is named without its subscription.
    """
    if key is not None and subscription is None:
        raise ConfigurationError("A key is one of a subscription: name that by --subscription.")
    return Selection(subscription, key, group, frozenset(states))


async def named_deliveries(
    held: HeldDeliveries, ids: Sequence[str], wanted: Selection, *, every: bool
) -> Sequence[HeldDelivery]:
    """Return the deliveries that are named by id, or are meant by options.

    Raises:
        ConfigurationError: neither is so, or both.
        DeliveryNotHeldError: one is not held.
    """
    by_options = any((wanted.subscription, wanted.key, wanted.group, every))
    if bool(ids) == bool(by_options):
        raise ConfigurationError(
            "Name deliveries by their ids, or by --subscription, --key, --group or --all."
        )
    return [await held.held(id) for id in ids] if ids else await held.list(wanted)


def who(by: str | None) -> str:
    """Return who does it.

    Raises:
        ConfigurationError: nobody says it, and the system does not know either.
    """
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise ConfigurationError("The system knows no name for you: say it by --by.") from error


def delivery_shown(one: HeldDelivery) -> dict[str, Any]:
    """Return a delivery as it stands in a list."""
    return {
        "id": one.id,
        "subscription": one.subscription,
        "key": one.key,
        "position": one.position,
        "type": one.type,
        "state": one.state.value,
        "attempts": len(one.attempts),
        "due_at": time_shown(one.due_at),
        "error": one.error,
        "message": one.message,
        "place": one.place,
        "group": one.group,
        "held_at": time_shown(one.held_at),
    }


def entry_shown(one: AuditEntry) -> dict[str, Any]:
    """Return an entry of the audit as it stands in a list."""
    return {
        "at": time_shown(one.at),
        "by": one.by,
        "action": one.action,
        "subscription": one.subscription,
        "key": one.key,
        "position": one.position,
        "reason": one.reason,
        "delivery": one.delivery,
    }


def time_shown(microseconds: int | None) -> str | None:
    """Return a time as ISO 8601, None for none."""
    if microseconds is None:
        return None
    moment: datetime = from_microseconds(microseconds)
    return moment.isoformat(timespec="milliseconds")
