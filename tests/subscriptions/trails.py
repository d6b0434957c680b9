"""A handler whose effects in the storage tell which events it had, and in which order."""

from collections.abc import Awaitable, Callable

from headwater.domain.read_model import ReadModel
from headwater.ports.log import EVERYTHING
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.subscription import Arrival
from headwater.unit_of_work.unit import CURRENT_UNIT
from tests.subscriptions.workbench import Workbench


class Trail(ReadModel, key="stream"):
    stream: str
    versions: tuple[int, ...]


Meanwhile = Callable[[Arrival], Awaitable[None]]


async def at_once(_arrival: Arrival) -> None:
    """Do nothing meanwhile."""


async def trailing(
    bench: Workbench, meanwhile: Meanwhile = at_once, *, partitions: int = 4, page_events: int = 100
) -> Runner:
    """Return what runs a subscriber that adds the version of each event to its stream's trail."""
    await bench.units.prepare(models=[Trail])

    async def add(arrival: Arrival, _delivery: Delivery) -> None:
        unit = CURRENT_UNIT.get()
        assert unit is not None
        stream, version = arrival.stored.stream_id, arrival.stored.version
        before = await unit.collection(Trail).get(stream)
        await meanwhile(arrival)
        unit.collection(Trail).put(Trail(stream, (*(before.versions if before else ()), version)))

    return bench.subscriber(add, partitions=partitions, page_events=page_events)


async def faults(bench: Workbench) -> list[str]:
    """Return what is wrong: the streams of which an event is missing, twice, or out of order."""
    versions: dict[str, int] = {}
    after = 0
    while True:
        page = await bench.storage.read_log(after=after, where=EVERYTHING, limit=1000)
        for event in page.events:
            versions[event.stream_id] = event.version
        after = page.scanned_to
        if after >= page.head:
            break
    found: list[str] = []
    for stream, count in versions.items():
        row = await bench.units.new().collection(Trail).get(stream)
        trail = row.versions if row is not None else ()
        if trail != tuple(range(1, count + 1)):
            found.append(f"{stream}: {trail} of {count}")
    return found
