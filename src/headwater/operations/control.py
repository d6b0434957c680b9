"""The control row of a subscription: what all its workers have to know before they work.

Every commit of a worker is guarded by the row as it has read it. So whoever writes it stops at
once what workers that have not seen it were about to commit.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from headwater.errors import ConfigurationError, ConflictError, WaitTimeoutError
from headwater.ports.changes import Changes, RowChange, RowGuard
from headwater.ports.leases import check_partitions
from headwater.ports.rows import ROWS_MAX, CollectionSpec, RowQuery
from headwater.ports.storage import Storage

CONTROL_ROWS: Final = CollectionSpec(
    "headwater_subscriptions",
    ("types", "paused", "stop_at", "retired", "by", "reason", "corrected"),
)
"""The collection of all control rows; a row's key is the name of the subscription."""


DRAIN_SECONDS: Final = 60.0
"""How long `repartition` waits for a subscription to be drained unless told otherwise."""

DRAINED_LOOK_SECONDS: Final = 0.05


class Control(msgspec.Struct, frozen=True):
    """What is stored of a subscription beside its checkpoints.

    `types` holds the newest schema version of each stored type name that some worker has wanted.
    `paused`: nobody works. `stop_at`: every partition is worked exactly up to that position, its
    checkpoint is stored there, and then nobody works. `retired`: nobody works it ever again, a
    newer generation has taken over. `by` and `reason` say who wanted so, and why. `corrected` is
    how many corrections of payloads were stored for it: workers that have not read the last one
    commit nothing. `row_version` 0: nothing is stored.
    """

    types: Mapping[str, int] = {}
    paused: bool = False
    stop_at: int | None = None
    retired: bool = False
    by: str = ""
    reason: str = ""
    row_version: int = 0
    corrected: int = 0

    def guard(self, subscription: str) -> RowGuard:
        """Return what lets a commit pass only while this stands."""
        return RowGuard(CONTROL_ROWS.name, subscription, self.row_version)

    def changed(self, subscription: str, **fields: Any) -> RowChange:
        """Return what writes this with *fields* changed; refused if it was replaced meanwhile."""
        after = msgspec.structs.replace(self, **fields)
        row = _Row(
            dict(sorted(after.types.items())),
            after.paused,
            after.stop_at,
            after.retired,
            after.by,
            after.reason,
            after.corrected,
        )
        data = msgspec.json.encode(row).decode()
        return RowChange(CONTROL_ROWS.name, subscription, data, expected=self.row_version)

    @property
    def waits_for(self) -> str | None:
        """Why nobody may work the subscription; None: they may, if only up to `stop_at`."""
        because = f" by {self.by}" if self.by else ""
        because += f": {self.reason}" if self.reason else ""
        if self.retired:
            return f"is retired{because}"
        return f"was paused{because}" if self.paused else None


class _Row(msgspec.Struct, frozen=True, omit_defaults=True):
    types: dict[str, int]
    paused: bool = False
    stop_at: int | None = None
    retired: bool = False
    by: str = ""
    reason: str = ""
    corrected: int = 0


_decode: Final = msgspec.json.Decoder(_Row).decode


async def read_control(storage: Storage, subscription: str) -> Control:
    """Return what is stored of *subscription*; the collection must have been prepared.

    Raises:
        ConfigurationError: the row is not one that this code writes.
    """
    row = (await storage.get_rows(CONTROL_ROWS.name, (subscription,))).get(subscription)
    if row is None:
        return Control()
    try:
        found = _decode(row.data)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(
            f"The types stored for subscription {subscription!r} can't be read: {error}. Is it "
            f"written by newer code? Deleting the row lets its workers write it anew."
        ) from error
    return Control(
        found.types,
        found.paused,
        found.stop_at,
        found.retired,
        found.by,
        found.reason,
        row.version,
        found.corrected,
    )


async def controlled_subscriptions(storage: Storage) -> frozenset[str]:
    """Return the subscriptions of which *storage* has a control row, at most `ROWS_MAX`."""
    if not await _prepared(storage):
        return frozenset()
    rows = await storage.find_rows(CONTROL_ROWS.name, RowQuery(limit=ROWS_MAX))
    return frozenset(row.key for row in rows)


async def write_control(storage: Storage, subscription: str, **fields: Any) -> Control:
    """Change *fields* of the control row of *subscription*, whoever else writes it; return it.

    Raises:
        StorageError: the storage can't be used.
    """
    await storage.prepare_collections([CONTROL_ROWS])
    while True:
        before = await read_control(storage, subscription)
        try:
            await storage.commit(Changes(rows=(before.changed(subscription, **fields),)))
        except ConflictError:
            continue
        return await read_control(storage, subscription)


async def pause(storage: Storage, subscription: str, *, by: str = "", reason: str = "") -> Control:
    """Let nobody work *subscription* until `resume`; what is in hand is not acknowledged.

    Raises:
        ConfigurationError: there is no such subscription in *storage*, or it is retired.
    """
    await _check_known(storage, subscription)
    return await write_control(storage, subscription, paused=True, by=by, reason=reason)


async def resume(storage: Storage, subscription: str, *, by: str = "") -> Control:
    """Let workers go on with *subscription* that was paused, or stopped at a position.

    Raises:
        ConfigurationError: there is no such subscription in *storage*, or it is retired.
    """
    await _check_known(storage, subscription)
    return await write_control(storage, subscription, paused=False, stop_at=None, by=by, reason="")


async def stop_at(
    storage: Storage, subscription: str, position: int, *, by: str = "", reason: str = ""
) -> int:
    """Have every partition worked exactly up to one position, then nobody works; return which.

    It is *position*, or where the furthest partition stands, if that is further. Workers have to
    be there to do it; `drained` waits for them, `resume` lets them go on afterwards. What is
    paused stays so.

    Raises:
        ConfigurationError: there is no such subscription in *storage*, or it is retired; or it is
            paused, and not all of its partitions stand there already.
    """
    while True:
        furthest = await _check_known(storage, subscription)
        at = max(position, furthest)
        await _check_worked(storage, subscription, at)
        await write_control(storage, subscription, stop_at=at, by=by, reason=reason)
        # From here on nobody goes past it; but somebody may have, just before.
        if await _check_known(storage, subscription) <= at:
            return at


async def drained(storage: Storage, subscription: str, at: int, *, seconds: float) -> None:
    """Return when every partition of *subscription* stands at position *at*, or past it.

    Raises:
        WaitTimeoutError: they don't within *seconds*: no worker may be there to do it.
        ConfigurationError: there is no such subscription in *storage*.
    """
    until = time.monotonic() + seconds
    while True:
        states = await storage.partition_states(subscription)
        lowest = min(state.checkpoint.position for state in states)
        if lowest >= at:
            return
        if time.monotonic() >= until:
            raise WaitTimeoutError(
                subscription,
                target=at,
                reached=lowest,
                seconds=seconds,
                waits_for="is drained by its workers; is one running",
            )
        await asyncio.sleep(DRAINED_LOOK_SECONDS)


async def repartition(
    log: Storage,
    storage: Storage,
    subscription: str,
    *,
    partitions: int,
    by: str = "",
    seconds: float = DRAIN_SECONDS,
) -> int:
    """Drain *subscription*, give it another number of *partitions*, let it go on; return where.

    Its workers drain it, up to the head of *log*, and must be running, unless all partitions
    stand at one position already. Afterwards it goes on, or stays paused if it was.

    Raises:
        WaitTimeoutError: it was not drained within *seconds*; it goes on as before.
        ConfigurationError: there is no such subscription in *storage*, or it is retired; or it is
            paused, and its partitions stand at several positions.
        ValueError: *partitions* is outside 1 … 1024.
    """
    check_partitions(subscription, partitions)
    await storage.prepare_collections([CONTROL_ROWS])
    await _check_known(storage, subscription)
    before = await read_control(storage, subscription)
    reason = f"gets {partitions} partitions"
    states = await storage.partition_states(subscription)
    positions = {state.checkpoint.position for state in states}
    alone = len(positions) == 1 and all(state.worker is None for state in states)
    head = max(positions) if alone or before.paused else await log.head()
    await _check_worked(storage, subscription, head)
    try:
        at = await stop_at(storage, subscription, head, by=by, reason=reason)
        await drained(storage, subscription, at, seconds=seconds)
        await storage.repartition(subscription, partitions=partitions)
    finally:
        await write_control(
            storage,
            subscription,
            paused=before.paused,
            stop_at=before.stop_at,
            by=before.by,
            reason=before.reason,
        )
    return at


async def _check_known(storage: Storage, subscription: str) -> int:
    """Return the position of the furthest partition."""
    known = await storage.subscriptions()
    found = next((one for one in known if one.name == subscription), None)
    if found is None:
        names = ", ".join(one.name for one in known) or "(none)"
        raise ConfigurationError(
            f"There is no subscription {subscription!r} in this storage; there are: {names}."
        )
    if await _prepared(storage) and (await read_control(storage, subscription)).retired:
        raise ConfigurationError(
            f"Subscription {subscription!r} is retired: a newer generation has taken over."
        )
    return max(checkpoint.position for checkpoint in found.checkpoints)


async def _check_worked(storage: Storage, subscription: str, at: int) -> None:
    """Pass unless *subscription* is paused before position *at*: nobody would work it up to it."""
    await storage.prepare_collections([CONTROL_ROWS])
    control = await read_control(storage, subscription)
    if not control.paused:
        return
    states = await storage.partition_states(subscription)
    if any(state.checkpoint.position < at for state in states):
        raise ConfigurationError(
            f"Subscription {subscription!r} {control.waits_for}. Its partitions don't all stand "
            f"at position {at}, and nobody works it up to there: resume it first."
        )


async def _prepared(storage: Storage) -> bool:
    return any(spec.name == CONTROL_ROWS.name for spec in await storage.collections())
