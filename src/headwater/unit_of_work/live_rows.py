"""Reads the rows of a read model where they are now: in the generation that is live.

A projection that was rebuilt has new rows in a new collection, and from one commit on these are
the ones. A process that started before must not go on with the old ones, so each read looks, as
a part of itself, whether its collection still is the one: a row under `MOVED_KEY` says that not.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

from headwater.domain.read_model import ReadModel
from headwater.errors import ConfigurationError
from headwater.operations.projections.generations import (
    GENERATIONS,
    MOVED_KEY,
    Generation,
    read_generations,
)
from headwater.ports.rows import Condition, Row, RowQuery
from headwater.ports.storage import Storage
from headwater.unit_of_work.row_forms import NOTHING_LACKING, lacking
from headwater.unit_of_work.row_type import RowType

M = TypeVar("M", bound=ReadModel)

UNKNOWN_SECONDS: Final = 1.0
"""How long rows that no projection is known to compute are found without looking again."""


class LiveRows(Generic[M]):
    """The rows of one read model in one storage, for all units of work of a process.

    A read that meets a switch is done again: what comes is what one generation held at a moment
    within the read at which it was the live one.
    """

    def __init__(self, type: RowType[M], storage: Storage, *, version: int | None = None) -> None:
        """Read rows of *type*, which a projection of this app computes, if it has a *version*."""
        self.type, self._storage, self._version = type, storage, version
        self._collection: str | None = None
        self._lacking = NOTHING_LACKING
        self._computed = version is not None
        self._unknown_until = 0.0
        self._prepared = False

    @property
    def collection(self) -> str:
        """Where the rows were when somebody last looked."""
        return self._collection or self.type.spec.name

    @property
    def computed(self) -> bool:
        """Whether a projection computes these rows, as far as is known."""
        return self._computed

    async def get(self, key: str) -> tuple[str, Row | None]:
        """Return the row under *key*, None if there is none, and the collection it was in.

        Raises:
            RowFormError: the live rows have not all fields that this code reads.
        """
        while True:
            collection = await self._found()
            try:
                rows = await self._storage.get_rows(collection, (key, MOVED_KEY))
            except ConfigurationError as refusal:
                await self._look_elsewhere(collection, refusal)
                continue
            if MOVED_KEY not in rows or await self.look() == collection:
                return collection, rows.get(key)

    async def find(self, query: RowQuery) -> tuple[Row, ...]:
        """Return the rows that match *query*.

        Raises:
            RowFormError: the live rows have not all fields that this code reads.
        """
        while True:
            collection = await self._found(_fields_of(query.conditions, query.order_by))
            try:
                if self._is_alone or query.offset:
                    # What it passed over may have been the row that says it has moved.
                    found = await self._storage.find_rows(collection, query)
                    still = self._is_alone or await self._is_still(collection)
                else:
                    found, still = await asyncio.gather(
                        self._storage.find_rows(collection, query), self._is_still(collection)
                    )
            except ConfigurationError as refusal:
                await self._look_elsewhere(collection, refusal)
                continue
            if still and not any(row.key == MOVED_KEY for row in found):
                return found

    async def count(self, conditions: Sequence[Condition]) -> int:
        """Return how many rows meet all *conditions*.

        Raises:
            RowFormError: the live rows lack a field that they are to be found by.
        """
        while True:
            collection = await self._found(_fields_of(conditions))
            try:
                count = await self._storage.count_rows(collection, conditions)
                if self._is_alone or await self._is_still(collection):
                    return count
            except ConfigurationError as refusal:
                await self._look_elsewhere(collection, refusal)

    async def look(self) -> str:
        """Find out in which collection the rows are now, and return it."""
        if not self._prepared:
            await self._storage.prepare_collections([GENERATIONS])
            self._prepared = True
        while True:
            generation = await self._generation()
            name = generation.collection if generation is not None else self.type.spec.name
            if name != self._collection:
                await self._make_known(name, generation)
                if await self._generation() != generation:
                    continue
                self._collection = name
            self._lacking = lacking(self.type.model, self.type.spec, generation, self._version)
            return name

    async def _found(self, used: Sequence[str] = ()) -> str:
        """Return where the rows are, which are to be found by the fields *used*."""
        collection = self._collection or await self.look()
        if self._lacking.hinders(used):
            collection = await self.look()
            self._lacking.check(used)
        return collection

    @property
    def _is_alone(self) -> bool:
        return not self._computed and time.monotonic() < self._unknown_until

    async def _is_still(self, collection: str) -> bool:
        """Return whether the rows are in *collection* at some moment within this call."""
        if not self._computed:
            return await self.look() == collection
        moved = await self._storage.get_rows(collection, (MOVED_KEY,))
        return not moved or await self.look() == collection

    async def _look_elsewhere(self, collection: str, refusal: ConfigurationError) -> None:
        """Look again, after *collection* refused a read; raise *refusal* if it is the right one."""
        if await self.look() == collection:
            raise refusal

    async def _generation(self) -> Generation | None:
        found = await read_generations(self._storage, self.type.spec.name)
        if found is None:
            self._unknown_until = time.monotonic() + UNKNOWN_SECONDS
            return None
        self._computed = True
        return found.read

    async def _make_known(self, name: str, generation: Generation | None) -> None:
        """Make the collection usable here, as the newest code has declared it."""
        spec = msgspec.structs.replace(self.type.spec, name=name)
        if generation is not None and generation.number > 1:
            stored = {one.name: one for one in await self._storage.collections()}
            spec = stored.get(name, spec)
        await self._storage.prepare_collections([spec])


def _fields_of(
    conditions: Sequence[Condition], order: Sequence[tuple[str, bool]] = ()
) -> Sequence[str]:
    if not conditions and not order:
        return ()
    return (*(condition.field for condition in conditions), *(name for name, _ in order))
