"""The generations of a projection's rows: which there are, and which one readers read.

A rebuild makes a new generation, with a collection and a subscription of its own, beside the one
that is live. One row per projection says which is live; flipping it is the switch.
"""

from enum import Enum
from typing import Final

import msgspec

from headwater.errors import ConfigurationError, ConflictError
from headwater.ports.changes import Changes, RowChange, RowGuard
from headwater.ports.rows import ROWS_MAX, CollectionSpec, RowQuery
from headwater.ports.storage import Storage

GENERATIONS: Final = CollectionSpec(
    "headwater_projections", ("projection", "generations", "last_number", "fenced_until")
)
"""The collection of all projections; a row's key is the collection of the first generation."""

MOVED_KEY: Final = "$moved"
"""The key of the row that is put into a collection whose rows are not the live ones any more.

Readers ask for it along with what they want, so that looking whether a collection is still the
live one is a part of the same read.
"""

GENERATION_NAME_MAX: Final = 63
"""The longest name of a collection."""


class GenerationState(Enum):
    """BUILDING: it is computed beside the live one. LIVE: it is what readers get. OLD: it was that,
    and is kept as it stood when it was replaced, until it is dropped. DROPPING: a drop of it has
    begun, and can only be done to its end."""

    BUILDING = "building"
    LIVE = "live"
    OLD = "old"
    DROPPING = "dropping"


class Generation(msgspec.Struct, frozen=True):
    """Rows of a projection, computed by its code of one version.

    `fingerprint` is a digest of that code. `begun_at` is in microseconds since 1970 UTC. Rows of
    one that is `inline` are committed with the events, once it is live; before that a subscription
    computes them. `to_compare` is one that was built for a comparison only. `fields` are those of
    its rows, as far as is known, and `indexed` those of them that rows can be found by.
    """

    number: int
    version: int
    fingerprint: str
    collection: str
    subscription: str
    state: GenerationState
    begun_at: int
    inline: bool = False
    to_compare: bool = False
    fields: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()

    @property
    def worked(self) -> bool:
        """Whether it is a subscription that computes it, now."""
        return self.state is GenerationState.BUILDING or (
            self.state is GenerationState.LIVE and not self.inline
        )


class Generations(msgspec.Struct, frozen=True):
    """All generations of a projection; `row_version` 0: nothing is stored.

    Until `fenced_until` (microseconds since 1970 UTC) no unit of work that would compute rows of
    it inline commits: a switch from or to inline rows needs a moment without new events.
    `last_number` is the highest that was ever given.
    """

    projection: str
    collection: str
    generations: tuple[Generation, ...] = ()
    last_number: int = 0
    fenced_until: int = 0
    row_version: int = 0

    @property
    def live(self) -> Generation | None:
        """What readers read, None if nothing was ever finished."""
        return self._in_state(GenerationState.LIVE)

    @property
    def building(self) -> Generation | None:
        """What is computed beside it, None if nothing is."""
        return self._in_state(GenerationState.BUILDING)

    @property
    def read(self) -> Generation | None:
        """What readers read: what is live, and before anything is, what becomes it."""
        return self.live or self.building

    def numbered(self, number: int) -> Generation | None:
        """Return generation *number*, None if there is none."""
        return next((one for one in self.generations if one.number == number), None)

    def having(self, *changed: Generation) -> "Generations":
        """Return them with *changed* in the place of those of the same number, or added."""
        by_number = {one.number: one for one in (*self.generations, *changed)}
        kept = tuple(by_number[number] for number in sorted(by_number))
        last = max(self.last_number, *by_number)
        return msgspec.structs.replace(self, generations=kept, last_number=last)

    def without(self, number: int) -> "Generations":
        """Return them without generation *number*."""
        kept = tuple(one for one in self.generations if one.number != number)
        return msgspec.structs.replace(self, generations=kept)

    def change(self) -> RowChange:
        """Return the change that stores them over what was read."""
        text = msgspec.json.encode(
            _Row(self.projection, self.generations, self.last_number, self.fenced_until)
        ).decode()
        return RowChange(GENERATIONS.name, self.collection, text, expected=self.row_version)

    def guard(self) -> RowGuard:
        """Return the guard that they are still what was read."""
        return RowGuard(GENERATIONS.name, self.collection, self.row_version)

    def _in_state(self, state: GenerationState) -> Generation | None:
        return next((one for one in self.generations if one.state is state), None)


class _Row(msgspec.Struct, frozen=True, omit_defaults=True):
    projection: str
    generations: tuple[Generation, ...]
    last_number: int
    fenced_until: int = 0


async def read_generations(storage: Storage, collection: str) -> Generations | None:
    """Return the generations of the projection whose first rows are in *collection*, if any.

    `GENERATIONS` must have been prepared.

    Raises:
        ConfigurationError: the row is not one that this code writes.
    """
    row = (await storage.get_rows(GENERATIONS.name, (collection,))).get(collection)
    return _read(collection, row.data, row.version) if row is not None else None


async def all_generations(storage: Storage) -> tuple[Generations, ...]:
    """Return all projections of *storage* that have generations, by collection; at most `ROWS_MAX`.

    Raises:
        ConfigurationError: a row is not one that this code writes.
    """
    if all(spec.name != GENERATIONS.name for spec in await storage.collections()):
        return ()
    await storage.prepare_collections([GENERATIONS])
    rows = await storage.find_rows(GENERATIONS.name, RowQuery(limit=ROWS_MAX))
    return tuple(_read(row.key, row.data, row.version) for row in rows)


async def write_generations(storage: Storage, generations: Generations) -> bool:
    """Store *generations* over what was read; return False if that was replaced meanwhile."""
    try:
        await storage.commit(Changes(rows=(generations.change(),)))
    except ConflictError:
        return False
    return True


def generation_names(collection: str, subscription: str, number: int) -> tuple[str, str]:
    """Return the collection and the subscription of generation *number* of a projection.

    Raises:
        ConfigurationError: the collection's name leaves no room for a number.
    """
    if number == 1:
        return collection, subscription
    name = f"{collection}__g{number}"
    if len(name) > GENERATION_NAME_MAX:
        raise ConfigurationError(
            f"{collection!r} is too long a name for a collection that is built beside: with its "
            f"number it has {len(name)} characters, and at most {GENERATION_NAME_MAX} can be."
        )
    return name, f"{subscription}@{number}"


def _read(collection: str, data: str, version: int) -> Generations:
    try:
        row = _decode(data)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(
            f"What is stored of the projection with rows in {collection!r} can't be read: {error}. "
            f"Is it written by newer code?"
        ) from error
    return Generations(
        row.projection, collection, row.generations, row.last_number, row.fenced_until, version
    )


_decode = msgspec.json.Decoder(_Row).decode
