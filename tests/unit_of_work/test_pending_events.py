"""What a unit has collected counts as it will once it is stored, and nobody changes it."""

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.decider import Decider
from headwater.domain.decision_model import DecisionModel, EventCriteria
from headwater.errors import TagConditionError, UnitOfWorkError
from headwater.messages import Event, RawEvent
from headwater.serialization import Upcasters
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.unit_of_work.units import Units

TAGS = ("order:1",)


class Opened(Event):
    lines: list[str]


class Extended(Event):
    line: str


class Added(Event):
    line: str


class Lines:
    """Takes over the list of an event, and goes on to change it."""

    def __init__(self) -> None:
        self.lines: list[str] = []


def decide_lines(command: list[str], state: Lines) -> list[Opened | Extended]:
    return [Opened(["first"])] if not state.lines else [Extended(line) for line in command]


def evolve_lines(state: Lines, event: Opened | Extended) -> Lines:
    after = Lines()
    if isinstance(event, Opened):
        after.lines = event.lines
    else:
        after.lines = state.lines
        after.lines.append(event.line)
    return after


LINES: Decider[list[str], Lines, Opened | Extended] = Decider(
    name="lines", initial=Lines(), decide=decide_lines, evolve=evolve_lines
)


class LinesModel(DecisionModel):
    lines: list[str] = []  # noqa: RUF012 - each instance gets its own

    def __init__(self) -> None:
        super().__init__(EventCriteria(*TAGS))

    @applies
    def _opened(self, event: Opened) -> None:
        self.lines = event.lines

    @applies
    def _extended(self, event: Extended) -> None:
        self.lines.append(event.line)


class LinesOrder(Aggregate[str]):
    lines: list[str] = []  # noqa: RUF012 - each instance gets its own

    @applies
    def _opened(self, event: Opened) -> None:
        self.lines = event.lines

    @applies
    def _extended(self, event: Extended) -> None:
        self.lines.append(event.line)


@pytest.fixture
def units(storage: MemoryStorage) -> Units:
    registry = TypeRegistry()
    for event in (Opened, Extended, Added):
        registry.register(event)
    upcasters = Upcasters()
    upcasters.rename_event("app.added", to="app.extended")
    return Units(storage, codec=EventCodec(registry, upcasters=upcasters))


async def opened(storage: MemoryStorage, stream_id: str) -> list[str]:
    """Return the data of the events of a stream."""
    return [event.data for event in await storage.read_stream(stream_id)]


class TestNobodyChangesIt:
    async def test_what_was_decided_is_stored_as_it_was_decided(
        self, units: Units, storage: MemoryStorage
    ) -> None:
        async with units.unit_of_work() as unit:
            for line in ("first", "second", "third"):
                await unit.decide(LINES, "1", [line])

        assert await opened(storage, "app.lines-1") == [
            '{"lines":["first"]}',
            '{"line":"second"}',
            '{"line":"third"}',
        ]

    async def test_a_decision_model_takes_over_nothing(
        self, units: Units, storage: MemoryStorage
    ) -> None:
        async with units.unit_of_work() as unit:
            unit.append("lines-1", Opened(["first"]), Extended("second"), tags=TAGS)
            assert (await unit.load(LinesModel())).lines == ["first", "second"]

        assert await opened(storage, "lines-1") == ['{"lines":["first"]}', '{"line":"second"}']

    async def test_the_copy_of_a_child_takes_over_nothing(
        self, units: Units, storage: MemoryStorage
    ) -> None:
        async with units.unit_of_work() as unit:
            order = LinesOrder("1")
            unit.repository(LinesOrder).add(order)
            order.record(Extended("first"))
            child = unit.child()
            theirs = await child.repository(LinesOrder).get("1")
            theirs.record(Opened(["second"]))
            grandchild = child.child()
            (await grandchild.repository(LinesOrder).get("1")).record(Extended("third"))
            child.merge(grandchild)
            unit.merge(child)
            order.record(Extended("fourth"))

        assert await opened(storage, "app.lines_order-1") == [
            '{"line":"first"}',
            '{"lines":["second"]}',
            '{"line":"third"}',
            '{"line":"fourth"}',
        ]


OLD_FORMS = [Added("second"), RawEvent("app.added", b'{"line":"second"}')]


@pytest.mark.parametrize("old", OLD_FORMS)
class TestOldForms:
    async def test_a_decision_model_reads_them_as_once_they_are_stored(
        self, units: Units, old: object
    ) -> None:
        async with units.unit_of_work() as unit:
            unit.append("lines-1", Opened(["first"]), old, tags=TAGS)

            assert (await unit.load(LinesModel())).lines == ["first", "second"]

        assert (await units.new().load(LinesModel())).lines == ["first", "second"]

    async def test_a_parallel_handler_can_t_decide_without_them(
        self, units: Units, old: object
    ) -> None:
        unit = units.new()
        one, two = unit.child(), unit.child()
        for child in (one, two):
            await child.load(LinesModel())
        one.append("lines-1", old, tags=TAGS)
        two.append("lines-2", Extended("second"), tags=TAGS)
        unit.merge(one)

        with pytest.raises(UnitOfWorkError, match="was appended to 'lines-1'"):
            unit.merge(two)

    async def test_a_decider_folds_them_and_counts_what_is_stored(
        self, units: Units, old: object
    ) -> None:
        async with units.unit_of_work() as unit:
            await unit.decide(LINES, "1", [])
            unit.append("app.lines-1", old)

            assert await unit.decide(LINES, "1", ["third"]) == (Extended("third"),)

        assert (await units.decider_type(LINES).load("1")).version == 3


async def test_events_that_nobody_here_knows_don_t_matter(units: Units) -> None:
    unit = units.new()
    unit.append("lines-1", RawEvent("far.away", b"{}"), tags=TAGS)

    assert (await unit.load(LinesModel())).lines == []


async def test_what_a_query_has_read_is_compared_when_the_command_around_it_writes(
    units: Units,
) -> None:
    unit = units.new()
    query = unit.child(reads_only=True)
    await query.load(LinesModel())
    unit.merge(query)
    async with units.unit_of_work() as other:
        other.append("lines-1", Opened(["first"]), tags=TAGS)
    unit.append("lines-2", Extended("decided without it"))

    with pytest.raises(TagConditionError):
        await unit.commit()
