"""The statements behind a subscription's partitions, and what operators do with them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from headwater.adapters.storage.sqlite.connections import writing
from headwater.errors import ConfigurationError
from headwater.ports.administration import drained_at
from headwater.ports.leases import Checkpoint

_SELECT: Final = (
    "SELECT position, event_id FROM headwater_checkpoints WHERE subscription = ? ORDER BY partition"
)
_RESET: Final = (
    "UPDATE headwater_checkpoints SET position = ?, event_id = ?, worker = NULL, "
    "expires_at = NULL WHERE subscription = ?"
)
_DELETE: Final = "DELETE FROM headwater_checkpoints WHERE subscription = ?"


def select_checkpoints(cursor: sqlite3.Cursor, name: str) -> list[Checkpoint]:
    """Return the checkpoint of each partition; none if the subscription was never opened."""
    return [Checkpoint(*row) for row in cursor.execute(_SELECT, (name,)).fetchall()]


def open_subscription(
    connection: sqlite3.Connection,
    name: str,
    *,
    partitions: int,
    start_after: int,
    busy_seconds: float,
) -> list[Checkpoint]:
    """Return the checkpoint of each partition, made if there are none yet."""
    # A cursor that an error's traceback keeps would keep the connection, and its lock.
    with closing(connection.cursor()) as cursor, writing(connection, busy_seconds=busy_seconds):
        stored = select_checkpoints(cursor, name)
        if not stored:
            stored = [Checkpoint(start_after)] * partitions
            _insert(cursor, name, stored)
    return stored


def reset(
    connection: sqlite3.Connection,
    name: str,
    *,
    to: Checkpoint,
    tables: Sequence[str],
    busy_seconds: float,
) -> int:
    """Set every checkpoint, revoke all leases and empty *tables*; return how many rows there were.

    Raises:
        ConfigurationError: there is no such subscription.
    """
    with closing(connection.cursor()) as cursor, writing(connection, busy_seconds=busy_seconds):
        if not cursor.execute(_RESET, (to.position, to.event_id, name)).rowcount:
            raise unknown(name)
        return sum(cursor.execute(f"DELETE FROM {one}").rowcount for one in tables)


def repartition(
    connection: sqlite3.Connection, name: str, *, partitions: int, busy_seconds: float
) -> None:
    """Give the subscription another number of partitions, and revoke all leases.

    Raises:
        ConfigurationError: there is no such subscription, or it is not drained.
    """
    with closing(connection.cursor()) as cursor, writing(connection, busy_seconds=busy_seconds):
        stored = select_checkpoints(cursor, name)
        if not stored:
            raise unknown(name)
        at = drained_at(name, stored)
        cursor.execute(_DELETE, (name,))
        _insert(cursor, name, [at] * partitions)


def drop(connection: sqlite3.Connection, name: str, *, busy_seconds: float) -> None:
    """Forget the subscription and its workers."""
    with closing(connection.cursor()) as cursor, writing(connection, busy_seconds=busy_seconds):
        cursor.execute(_DELETE, (name,))
        cursor.execute("DELETE FROM headwater_workers WHERE subscription = ?", (name,))


def unknown(name: str) -> ConfigurationError:
    """Return the error for a subscription that was never opened."""
    return ConfigurationError(f"There is no subscription {name!r} in this storage.")


def _insert(cursor: sqlite3.Cursor, name: str, checkpoints: Sequence[Checkpoint]) -> None:
    cursor.executemany(
        "INSERT INTO headwater_checkpoints (subscription, partition, position, event_id) "
        "VALUES (?, ?, ?, ?)",
        [(name, number, one.position, one.event_id) for number, one in enumerate(checkpoints)],
    )
