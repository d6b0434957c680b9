"""Begins a new generation of a projection beside the live one, and drops those of no use."""

import msgspec

from headwater.errors import ConfigurationError, ConflictError, SwitchError
from headwater.operations.control import CONTROL_ROWS, read_control
from headwater.operations.dead_letters.deliveries import DELIVERIES, delivery_gone
from headwater.operations.projections.generations import (
    GENERATIONS,
    Generation,
    Generations,
    GenerationState,
    generation_names,
    read_generations,
    write_generations,
)
from headwater.ports.changes import Changes
from headwater.ports.rows import CollectionSpec, Comparison, Condition, RowQuery
from headwater.ports.storage import Storage


class Wanted(msgspec.Struct, frozen=True):
    """What code computes rows of a projection, and how they are kept.

    `spec` is the collection, and `subscription` the name, of the first generation.
    """

    subscription: str
    spec: CollectionSpec
    version: int
    fingerprint: str
    partitions: int
    inline: bool = False

    def formed(self, generation: Generation) -> Generation:
        """Return *generation* with rows that have the fields which this code writes, too."""
        indexed = (field.name for field in self.spec.indexed)
        return msgspec.structs.replace(
            generation,
            fields=tuple(dict.fromkeys((*generation.fields, *self.spec.fields))),
            indexed=tuple(dict.fromkeys((*generation.indexed, *indexed))),
        )

    def fits(self, generation: Generation) -> bool:
        """Return whether this code computes *generation* in this way."""
        return generation.version == self.version and generation.inline == self.inline


async def stored_generations(storage: Storage, wanted: Wanted) -> Generations:
    """Return the generations of the projection, none if nothing is stored."""
    await storage.prepare_collections([GENERATIONS])
    found = await read_generations(storage, wanted.spec.name)
    return found or Generations(wanted.subscription, wanted.spec.name)


async def begin(
    storage: Storage, wanted: Wanted, *, now: int, live: bool = False, to_compare: bool = False
) -> Generation:
    """Begin a generation that *wanted* computes from the beginning of the log; return it.

    Whoever runs the code works on it, beginning within seconds. With *live* it is the first one,
    and what readers read from now on. *now* is in microseconds since 1970 UTC.

    Raises:
        SwitchError: one is being built already, or there is one for *live*.
        StorageError: the storage can't be used.
    """
    while True:
        found = await stored_generations(storage, wanted)
        if found.building is not None:
            raise SwitchError(
                found.projection,
                f"generation {found.building.number} is being built already",
                "Switch to it, or drop it.",
            )
        if live and found.generations:
            raise SwitchError(found.projection, "it has a generation already", "Begin another.")
        number = found.last_number + 1
        collection, subscription = generation_names(wanted.spec.name, wanted.subscription, number)
        generation = Generation(
            number,
            wanted.version,
            wanted.fingerprint,
            collection,
            subscription,
            GenerationState.LIVE if live else GenerationState.BUILDING,
            now,
            wanted.inline,
            to_compare,
        )
        generation = wanted.formed(generation)
        spec = msgspec.structs.replace(wanted.spec, name=collection)
        await storage.prepare_collections([spec])
        if generation.worked:
            await storage.open_subscription(
                subscription, partitions=wanted.partitions, start_after=0
            )
        if await write_generations(storage, found.having(generation)):
            return generation


async def note_form(storage: Storage, wanted: Wanted) -> Generations:
    """Store which fields the code of *wanted* writes to the generations that it computes; return
    all. A field may have been added without a new version."""
    while True:
        found = await stored_generations(storage, wanted)
        computed = [
            one
            for one in found.generations
            if one.version == wanted.version
            and one.state in {GenerationState.LIVE, GenerationState.BUILDING}
        ]
        changed = [formed for one in computed if (formed := wanted.formed(one)) != one]
        if not changed:
            return found
        await write_generations(storage, found.having(*changed))


async def drop(storage: Storage, collection: str, number: int) -> Generation:
    """Delete generation *number* with its rows and checkpoints, unless it is live; return it.

    Whoever still works on it stops. After a crash in between it stands as DROPPING, which hinders
    nobody, and this can be called again.

    Raises:
        ConfigurationError: there is none of that number.
        SwitchError: it is live.
    """
    await storage.prepare_collections([GENERATIONS, CONTROL_ROWS])
    found, one = await _begin_to_drop(storage, collection, number)
    await storage.drop_subscription(one.subscription)
    await _forget_held(storage, one.subscription)
    await storage.drop_collection(one.collection)
    # A worker that had read just before that it may work has stored it again.
    await storage.drop_subscription(one.subscription)
    while not await write_generations(storage, found.without(number)):
        found = await read_generations(storage, collection) or found
    return one


async def _begin_to_drop(
    storage: Storage, collection: str, number: int
) -> tuple[Generations, Generation]:
    """See to it that nobody switches to it, and nobody's commit passes; then all of it can go."""
    while True:
        found, one = await _droppable(storage, collection, number)
        control = await read_control(storage, one.subscription)
        dropping = msgspec.structs.replace(one, state=GenerationState.DROPPING)
        rows = (
            found.having(dropping).change(),
            control.changed(one.subscription, retired=True, reason="dropped"),
        )
        try:
            await storage.commit(Changes(rows=rows))
        except ConflictError:
            continue
        return found, one


async def _droppable(
    storage: Storage, collection: str, number: int
) -> tuple[Generations, Generation]:
    found = await read_generations(storage, collection)
    one = found.numbered(number) if found is not None else None
    if found is None or one is None:
        raise ConfigurationError(
            f"There is no generation {number} of the projection with rows in {collection!r}."
        )
    if one.state is GenerationState.LIVE:
        raise SwitchError(
            found.projection, f"generation {number} is what readers read", "Drop another one."
        )
    return found, one


async def _forget_held(storage: Storage, subscription: str) -> None:
    """Delete the rows of deliveries that are held in *subscription*."""
    if all(spec.name != DELIVERIES.name for spec in await storage.collections()):
        return
    await storage.prepare_collections([DELIVERIES])
    query = RowQuery((Condition("subscription", Comparison.EQUAL, subscription),), limit=1000)
    while held := await storage.find_rows(DELIVERIES.name, query):
        await storage.commit(Changes(rows=tuple(delivery_gone(row.key) for row in held)))
