"""Effects in a storage: read, written over what was read, found while they are uncertain."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from headwater.clock import from_microseconds, microseconds_since_epoch
from headwater.errors import RowConflictError, StorageError
from headwater.operations.effects import (
    BEGUN,
    DONE,
    EFFECTS,
    UNCERTAIN,
    StoredEffect,
    effect_key,
    effect_of,
    effect_row,
)
from headwater.ports.changes import Changes, RowChange
from headwater.ports.rows import Comparison, Condition, RowQuery
from headwater.ports.storage import Storage

PRUNE_BATCH: Final = 1000
"""How many effects are forgotten in one commit."""

_log = logging.getLogger("headwater")


class UncertainEffect(msgspec.Struct, frozen=True):
    """An effect that was begun and not recorded: it may have happened or not.

    `problem` says how it failed, empty where whoever was at it was cut off.
    """

    name: str
    key: str
    begun_at: datetime
    problem: str


class KnownEffect(msgspec.Struct, frozen=True):
    """An effect that is stored, and the version of its row."""

    effect: StoredEffect
    version: int

    @property
    def uncertain(self) -> UncertainEffect:
        """The effect as somebody sees it who has to find out about it."""
        effect = self.effect
        return UncertainEffect(
            effect.name, effect.key, from_microseconds(effect.begun_at), effect.problem
        )


class Effects:
    """The effects that are kept in a storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._prepared = False

    async def get(self, name: str, key: str) -> KnownEffect | None:
        """Return what is known of an effect."""
        await self._prepare()
        row_key = effect_key(name, key)
        row = (await self._storage.get_rows(EFFECTS.name, (row_key,))).get(row_key)
        return KnownEffect(effect_of(row), row.version) if row is not None else None

    async def write(self, effect: StoredEffect, *, over: KnownEffect | None) -> KnownEffect:
        """Write *effect* if what is stored still is *over*; return it as it is stored now.

        Raises:
            RowConflictError: somebody else has written it meanwhile.
        """
        expected = over.version if over is not None else 0
        await self._commit(effect_row(effect, expected=expected))
        known = await self.get(effect.name, effect.key)
        if known is None or known.effect != effect:
            key, actual = effect_key(effect.name, effect.key), known.version if known else 0
            raise RowConflictError(EFFECTS.name, key, expected=expected, actual=actual)
        return known

    async def forget(self, known: KnownEffect) -> None:
        """Forget an effect, if it still is *known*.

        Raises:
            RowConflictError: somebody has written it meanwhile.
        """
        key = effect_key(known.effect.name, known.effect.key)
        await self._commit(RowChange(EFFECTS.name, key, None, expected=known.version))

    async def note(self, effect: StoredEffect | None, *, over: KnownEffect) -> None:
        """Write how an effect failed, or (None) that it did not happen.

        That it failed must not be hidden by a storage that fails: then it stays reserved.
        """
        try:
            if effect is None:
                await self.forget(over)
            else:
                await self.write(effect, over=over)
        except StorageError:
            name = over.effect.name
            _log.exception("Effect %r stays reserved: what became of it is not noted", name)

    async def not_done(self, *, limit: int) -> Sequence[KnownEffect]:
        """Return up to *limit* effects that are reserved or uncertain, the oldest first."""
        await self._prepare()
        where = (Condition("state", Comparison.ONE_OF, (BEGUN, UNCERTAIN)),)
        query = RowQuery(where, (("begun_at", False),), limit)
        rows = await self._storage.find_rows(EFFECTS.name, query)
        return [KnownEffect(effect_of(row), row.version) for row in rows]

    @property
    def used(self) -> bool:
        """Whether this process has looked at any effect."""
        return self._prepared

    async def prune(self, *, before: datetime) -> int:
        """Forget the effects that are done and were begun before *before*; return how many."""
        await self._prepare()
        where = (
            Condition("state", Comparison.EQUAL, DONE),
            Condition("begun_at", Comparison.LESS, microseconds_since_epoch(before)),
        )
        pruned = 0
        while True:
            rows = await self._storage.find_rows(EFFECTS.name, RowQuery(where, limit=PRUNE_BATCH))
            if not rows:
                return pruned
            await self._commit(*(RowChange(EFFECTS.name, row.key, None) for row in rows))
            pruned += len(rows)

    async def _commit(self, *rows: RowChange) -> None:
        await self._storage.commit(Changes(rows=rows))

    async def _prepare(self) -> None:
        if not self._prepared:
            await self._storage.prepare_collections([EFFECTS])
            self._prepared = True
