"""What a worker answers on its own port: whether it lives, is ready, and how it fares."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from headwater.errors import MissingExtraError
from headwater.monitoring.server import Answer, Page
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus

Look = Callable[[], Awaitable[Sequence[SubscriptionStatus] | None]]
"""Returns what is known of each subscription, None while the app starts or stops."""

JSON: Final = "application/json"

_NOT_READY: Final = frozenset(
    {
        SubscriptionState.STARTING,
        SubscriptionState.STALLED,
        SubscriptionState.STOPPED,
        SubscriptionState.FAILED,
    }
)


def pages_of(look: Look, *, app: str) -> Mapping[str, Page]:
    """Return what stands under which path, for the worker *app* of which *look* tells.

    ``/live``: the event loop turns, for else nothing would be answered. ``/ready``: 200 when all
    subscriptions are open and none has failed or stalled, else 503; both with the reasons as
    JSON. ``/metrics``: Prometheus' text format.

    Raises:
        MissingExtraError: prometheus_client is not installed.
    """
    try:
        from headwater.monitoring.metrics import CONTENT_TYPE, Metrics  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise MissingExtraError("prometheus_client", "metrics") from error
    told = Metrics(worker=app)

    async def live() -> Answer:
        return Answer(b"live\n")

    async def ready() -> Answer:
        return _ready(await look())

    async def metrics() -> Answer:
        return Answer(told.text(await look() or ()), CONTENT_TYPE)

    return {"/live": live, "/ready": ready, "/metrics": metrics}


def _ready(statuses: Sequence[SubscriptionStatus] | None) -> Answer:
    if statuses is None:
        ready, told = False, list[dict[str, object]]()
    else:
        ready = not any(status.state in _NOT_READY for status in statuses)
        told = [
            {
                "name": status.name,
                "state": status.state.value,
                "position": status.position,
                "lag_events": status.lag_events,
                "lag_seconds": status.lag_seconds,
                "error": status.error,
            }
            for status in statuses
        ]
    body = msgspec.json.encode(
        {"ready": ready, "running": statuses is not None, "subscriptions": told}
    )
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(body + b"\n", JSON, status)
