"""A page whose one commit is refused: the right event is blamed, and all others have their rows."""

import pytest

from headwater import Event, Projection, ReadModel, applies
from headwater.errors import SubscriptionFailedError
from headwater.ports.log import LogFilter
from headwater.projections.consumer import ProjectionConsumer
from headwater.projections.projection import Folds
from headwater.streams import ExpectedVersion
from headwater.subscriptions.subscription import Subscription, partition_of
from headwater.subscriptions.subscriptions import Subscriptions
from tests.subscriptions.workbench import Workbench


class Hit(Event):
    name: str
    number: int


class Target(ReadModel, key="name", unique=("number",)):
    name: str
    number: int
    hits: int


class Targets(Projection[Target]):
    @applies
    def hit(self, event: Hit, row: Target | None) -> Target:
        return Target(event.name, event.number, (row.hits if row else 0) + 1)


async def started(bench: Workbench, partitions: int, *hits: Hit) -> Subscriptions:
    name = bench.codec.registry.register(Hit)
    await bench.units.prepare(models=[Target])
    for hit in hits:
        await bench.store.append(f"target-{hit.name}", [hit], expected=ExpectedVersion.any())
    rows = bench.units.row_type(Target)
    folds = Folds(Targets)
    consumer = ProjectionConsumer(Targets(), folds=folds, rows=rows, target=bench.storage)
    subscription = Subscription("targets", LogFilter(types=frozenset({name})), partitions)
    return await bench.start(bench.runner(subscription, consumer, bench.storage))


async def hits(bench: Workbench, name: str) -> int | None:
    row = await bench.units.new().collection(Target).get(name)
    return row.hits if row else None


async def test_events_before_the_one_that_is_refused_add_up(bench: Workbench) -> None:
    subscriptions = await started(
        bench, 1, Hit("a", 1), Hit("a", 1), Hit("a", 1), Hit("b", 1), Hit("a", 1)
    )

    with pytest.raises(SubscriptionFailedError, match="position 4: DuplicateValueError"):
        await subscriptions.settle()

    assert await hits(bench, "a") == 3
    assert await hits(bench, "b") is None


async def test_an_innocent_partition_is_not_blamed_and_has_its_row(bench: Workbench) -> None:
    guilty, innocent = names_of_two_partitions()
    subscriptions = await started(
        bench, 2, Hit(guilty, 1), Hit(innocent, 2), Hit(guilty, 1), Hit(innocent, 1)
    )

    with pytest.raises(SubscriptionFailedError, match="position 4: DuplicateValueError"):
        await subscriptions.settle()

    assert await hits(bench, guilty) == 2
    assert await hits(bench, innocent) == 1


def names_of_two_partitions() -> tuple[str, str]:
    first = "a"
    other = next(name for name in "bcdefgh" if partition_of(name, 2) != partition_of(first, 2))
    return first, other
