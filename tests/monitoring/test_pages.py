"""What a worker answers: whether it lives, is ready, and its numbers."""

from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headwater.monitoring.pages import pages_of
from headwater.subscriptions.status import HeldCounts, SubscriptionState, SubscriptionStatus
from tests.monitoring.conftest import standing


async def answered(
    path: str, statuses: Sequence[SubscriptionStatus] | None, app: str = "shop"
) -> tuple[int, str]:
    async def look() -> Sequence[SubscriptionStatus] | None:
        return statuses

    answer = await pages_of(look, app=app)[path]()
    return answer.status.value, answer.body.decode()


def numbers(text: str) -> dict[tuple[str, str], float]:
    """Return the samples of a scrape by name and by state, or else subscription or app."""
    return {
        (
            sample.name,
            sample.labels.get("state") or next(iter(sample.labels.values())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("state", "ready"),
    [
        (SubscriptionState.STARTING, False),
        (SubscriptionState.CATCHING_UP, True),
        (SubscriptionState.LIVE, True),
        (SubscriptionState.WAITING, True),
        (SubscriptionState.SUSPENDED, True),
        (SubscriptionState.PAUSED, True),
        (SubscriptionState.RETIRED, True),
        (SubscriptionState.STALLED, False),
        (SubscriptionState.STOPPED, False),
        (SubscriptionState.FAILED, False),
    ],
)
async def test_one_that_is_not_open_or_failed_or_stalled_makes_the_worker_not_ready(
    *, state: SubscriptionState, ready: bool
) -> None:
    others = standing("sales.other", state=SubscriptionState.LIVE)

    status, body = await answered("/ready", [others, standing(state=state, error="because")])

    assert status == (200 if ready else 503)
    assert f'"ready":{str(ready).lower()}' in body
    assert state.value in body
    assert "because" in body


async def test_a_worker_without_subscriptions_is_ready_once_it_runs() -> None:
    assert (await answered("/ready", []))[0] == 200
    assert (await answered("/ready", None))[0] == 503


async def test_a_worker_lives_whatever_its_subscriptions_do() -> None:
    assert await answered("/live", [standing(state=SubscriptionState.FAILED)]) == (200, "live\n")
    assert await answered("/live", None) == (200, "live\n")


async def test_metrics_tell_how_each_subscription_fares() -> None:
    held = HeldCounts(delayed=3, waiting=4, dead=2, parked_keys=1)
    mail = standing(lag_seconds=1.5, events_done=70, retries=6, held=held, owners=("me", None))

    status, text = await answered("/metrics", [mail])

    found = numbers(text)
    assert status == 200
    assert {
        name.removeprefix("headwater_subscription_"): value
        for (name, label), value in found.items()
        if label == "sales.mail"
    } == {
        "position": 5,
        "head": 9,
        "lag_events": 4,
        "lag_seconds": 1.5,
        "partitions_owned": 1,
        "delayed": 3,
        "waiting": 4,
        "dead_letters": 2,
        "parked_keys": 1,
        "healthy": 0,
        "events_total": 70,
        "retries_total": 6,
    }
    assert found["headwater_subscription_state", "catching up"] == 1
    assert found["headwater_subscription_state", "live"] == 0
    assert found["headwater_app", "shop"] == 1


async def test_metrics_of_two_apps_in_one_process_are_apart() -> None:
    _, first = await answered("/metrics", [standing("a.mail")], app="a")
    _, second = await answered("/metrics", [standing("b.mail")], app="b")

    assert "a.mail" not in second
    assert "b.mail" not in first


async def test_a_name_with_quotes_is_told_as_it_is() -> None:
    _, text = await answered("/metrics", [standing('a"\\\n')])

    assert ("headwater_subscription_position", 'a"\\\n') in numbers(text)


async def test_an_unknown_lag_is_not_told_as_none() -> None:
    _, text = await answered("/metrics", [standing(lag_seconds=None)])

    assert "lag_seconds" not in text
