"""The statements behind a subscription's checkpoints."""

import sqlite3
from contextlib import closing

from headwater.adapters.storage.sqlite.connections import writing
from headwater.ports.leases import Checkpoint

_SELECT = (
    "SELECT position, event_id FROM headwater_checkpoints WHERE subscription = ? ORDER BY partition"
)


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
            cursor.executemany(
                "INSERT INTO headwater_checkpoints (subscription, partition, position) "
                "VALUES (?, ?, ?)",
                [(name, partition, start_after) for partition in range(partitions)],
            )
    return stored
