"""Generations of a read model whose rows a test writes itself, in place of a projection."""

from headwater import Event, ReadModel
from headwater.operations.projections.building import Wanted, begin
from headwater.operations.projections.generations import Generation
from headwater.operations.projections.meeting import compare, meet
from headwater.operations.projections.switching import flip
from headwater.ports.changes import Changes
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.unit_of_work.row_type import RowType
from headwater.unit_of_work.units import Units


class Figure(ReadModel, key="name", indexed=("generation",), context="hand"):
    name: str
    generation: int


class Noted(Event, context="hand"):
    """Something that was decided on a row."""


NAMES = [f"n{number}" for number in range(10)]


def units_on(storage: Storage) -> Units:
    registry = TypeRegistry()
    registry.register(Noted)
    return Units(
        storage,
        codec=EventCodec(registry),
        context_of=lambda _: "hand",
        computed={Figure: 1},
    )


ROWS: RowType[Figure] = RowType(Figure, context="hand", codec=EventCodec(TypeRegistry()))
WANTED = Wanted("hand.figures", ROWS.spec, version=1, fingerprint="f", partitions=2)


async def write(storage: Storage, generation: Generation, *rows: Figure) -> None:
    type = ROWS.in_collection(generation.collection)
    await storage.prepare_collections([type.spec])
    await storage.commit(Changes(rows=tuple(type.written(row, expected=None) for row in rows)))


async def build(storage: Storage, *, live: bool = False) -> Generation:
    """Begin a generation and fill it with rows that tell its number."""
    generation = await begin(storage, WANTED, now=0, live=live)
    await write(storage, generation, *(Figure(name, generation.number) for name in NAMES))
    return generation


async def switch(storage: Storage) -> Generation:
    """Flip to the one that is built; the log is empty, so all partitions stand at its head."""
    meeting = await compare(storage, await meet(storage, storage, ROWS.name))
    return await flip(storage, meeting)
