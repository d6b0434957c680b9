"""What a subscriber reads of the log, and what is wrong with what it asks for."""

from collections.abc import Iterator
from typing import Any

from headwater.app.registrations import SubscriberRegistration
from headwater.errors import ConfigurationError, WiringFault
from headwater.mediator.deliveries import Deliverer
from headwater.mediator.signatures import name_of
from headwater.ports.log import EVERYTHING, LogFilter
from headwater.streams import category_of
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.failures.policy import failure_policy
from headwater.unit_of_work.units import Units


def filter_of(registration: SubscriberRegistration, units: Units) -> LogFilter:
    """Return which events *registration* wants, whatever their types."""
    if list(_misread(registration)):
        return EVERYTHING
    categories = frozenset(
        each if isinstance(each, str) else category_of(units.aggregate_type(each).stream_id("0"))
        for each in registration.categories
    )
    return LogFilter(
        categories=categories,
        tags=frozenset(registration.tags),
        tenants=frozenset(registration.tenants),
    )


def faults_of(registration: SubscriberRegistration, deliverer: Deliverer) -> list[WiringFault]:
    """Return what is wrong with the options of *registration*."""
    name = name_of(registration.delivery.target)
    found = list(_misread(registration))
    try:
        failure_policy(delayed=registration.delayed, waiting_max=registration.waiting_max)
    except ConfigurationError as error:
        found.append((f"{name}: {error}", "Mend delayed=… or waiting_max=…."))
    if not deliverer.takes_lists and registration.batch is not None:
        found.append(
            (
                f"{name} takes one event at a time, and has batch=….",
                "Let it take a list of events, or leave batch=… away.",
            )
        )
    if deliverer.takes_lists and Delivery in deliverer.dependencies:
        problem = f"{name} takes a list of events, each with its own delivery, and asks for one."
        found.append((problem, "Ask for list[Delivery]."))
    if len(deliverer.policies) > 1:
        problem = f"{name} has methods under different policies, and a subscriber has one."
        found.append((problem, "Give it by policy=…, or register what needs another apart."))
    site = registration.delivery.site
    return [WiringFault(problem, where=site, advice=advice) for problem, advice in found]


def _misread(registration: SubscriberRegistration) -> Iterator[tuple[str, str]]:
    """Yield what can't be a filter: a lone text would be taken for its letters."""
    options: dict[str, Any] = {
        "categories": registration.categories,
        "tags": registration.tags,
        "tenants": registration.tenants,
    }
    for option, value in options.items():
        name = name_of(registration.delivery.target)
        if isinstance(value, str):
            yield f"{name} has {option}={value!r}, a text.", f"Give several: {option}=[{value!r}]."
        elif not all(isinstance(each, str) for each in value) and option != "categories":
            yield f"{name} has {option}={value!r}, which are no texts.", "Give texts."
