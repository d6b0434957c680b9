"""The metrics of one worker in Prometheus' text format. Each app has a registry of its own."""

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_LABELS: Final = ("subscription",)


class Metrics(Collector):
    """What Prometheus is told of the subscriptions of one worker."""

    def __init__(self, *, worker: str) -> None:
        """Tell it in the name of the app *worker*."""
        self._worker = worker
        self._statuses: Sequence[SubscriptionStatus] = ()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self, statuses: Sequence[SubscriptionStatus]) -> bytes:
        """Return what *statuses* say, as `CONTENT_TYPE`."""
        self._statuses = statuses
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield a family for each kind of number."""
        up = GaugeMetricFamily("headwater_app", "1 while the app runs.", labels=("app",))
        up.add_metric((self._worker,), 1)
        yield up
        gauge, counter = _Family(GaugeMetricFamily), _Family(CounterMetricFamily)
        for one in self._statuses:
            for family, name, text, value in _numbers(one):
                (gauge if family == "gauge" else counter).add(name, text, one.name, value)
        yield from gauge.families.values()
        yield from counter.families.values()
        yield self._states()

    def _states(self) -> Metric:
        states = GaugeMetricFamily(
            "headwater_subscription_state",
            "1 for the state that the subscription is in, 0 for the others.",
            labels=(*_LABELS, "state"),
        )
        for one in self._statuses:
            for state in SubscriptionState:
                states.add_metric((one.name, state.value), float(one.state is state))
        return states


class _Family:
    """Families of one kind by name, made as they come."""

    def __init__(self, kind: type[GaugeMetricFamily] | type[CounterMetricFamily]) -> None:
        self._kind = kind
        self.families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}

    def add(self, name: str, text: str, subscription: str, value: float) -> None:
        """Add a number of *subscription*."""
        full = f"headwater_subscription_{name}"
        family = self.families.get(full)
        if family is None:
            family = self.families[full] = self._kind(full, text, labels=_LABELS)
        family.add_metric((subscription,), value)


def _numbers(one: SubscriptionStatus) -> Iterator[tuple[str, str, str, float]]:
    yield "gauge", "position", "Up to where everything is committed.", one.position
    yield "gauge", "head", "The end of the log when it last looked.", one.head
    yield "gauge", "lag_events", "How many positions it is behind.", one.lag_events
    if one.lag_seconds is not None:
        text = "How long the oldest event that is not done has waited."
        yield "gauge", "lag_seconds", text, one.lag_seconds
    owned = len([owner for owner in one.owners if owner is not None])
    yield "gauge", "partitions_owned", "Partitions that some worker has.", owned
    yield "gauge", "delayed", "Deliveries that are tried again by themselves.", one.held.delayed
    yield "gauge", "dead_letters", "Deliveries that wait for an operator.", one.held.dead
    yield "gauge", "waiting", "Deliveries that wait for one of their key.", one.held.waiting
    yield "gauge", "parked_keys", "Keys whose events wait behind a dead one.", one.held.parked_keys
    yield "gauge", "healthy", "1 unless somebody has to look after it.", float(one.healthy)
    yield "counter", "events", "Events that were handed over and committed.", one.events_done
    yield "counter", "retries", "Attempts that were not the first.", one.retries
