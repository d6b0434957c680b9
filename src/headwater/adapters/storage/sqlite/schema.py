"""The tables, and how a file that has older ones gets the newest."""

import sqlite3
from typing import Final

from headwater.adapters.storage.sqlite.connections import writing
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.errors import SchemaVersionError

APPLICATION_ID: Final = 0x48445752
"""``HDWR``: what the ``file`` command can tell a Headwater database by."""

STRICT_TABLES: Final = sqlite3.sqlite_version_info >= (3, 37, 0)

EVENT_COLUMNS: Final = (
    "position, stream_id, version, id, type, schema_version, data, occurred_at, recorded_at, "
    "correlation_id, causation_id, actor, tenant, traceparent, headers, tags"
)
"""In the order of `StoredEvent`; the tags stand once more in a table to be found by."""

_TIME = (
    "strftime('%Y-%m-%dT%H:%M:%S', ({0} - ({0} % 1000000 + 1000000) % 1000000) / 1000000, "
    "'unixepoch') || printf('.%06dZ', ({0} % 1000000 + 1000000) % 1000000) AS {0}"
)
_ID = (
    "lower(substr(hex({0}), 1, 8) || '-' || substr(hex({0}), 9, 4) || '-' || "
    "substr(hex({0}), 13, 4) || '-' || substr(hex({0}), 17, 4) || '-' || substr(hex({0}), 21)) "
    "AS {0}"
)
_MAYBE_ID = "CASE WHEN {0} IS NOT NULL THEN " + _ID.removesuffix("AS {0}") + "END AS {0}"


def table_options(*options: str) -> str:
    """Return what follows a table's columns: *options*, and STRICT where SQLite knows it."""
    return ", ".join([*options, "STRICT"] if STRICT_TABLES else options)


_FIRST: Final = (
    # Times are microseconds since 1970 UTC, ids 16 bytes; headwater_log shows both for reading.
    f"""CREATE TABLE headwater_events (
        position INTEGER PRIMARY KEY,
        stream_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        id BLOB NOT NULL,
        type TEXT NOT NULL,
        schema_version INTEGER NOT NULL,
        data TEXT NOT NULL,
        occurred_at INTEGER NOT NULL,
        recorded_at INTEGER NOT NULL,
        correlation_id BLOB,
        causation_id BLOB,
        actor TEXT,
        tenant TEXT,
        traceparent TEXT,
        headers TEXT,
        tags TEXT
    ) {table_options()}""",
    "CREATE UNIQUE INDEX headwater_events_by_stream ON headwater_events (stream_id, version)",
    "CREATE UNIQUE INDEX headwater_events_by_id ON headwater_events (id)",
    f"""CREATE TABLE headwater_event_tags (
        tag TEXT NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (tag, position)
    ) {table_options("WITHOUT ROWID")}""",
    # The head has a row of its own, so that it does not fall when the last events are erased.
    f"""CREATE TABLE headwater_head (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        position INTEGER NOT NULL,
        row_version INTEGER NOT NULL,
        recorded_at INTEGER NOT NULL
    ) {table_options()}""",
    "INSERT INTO headwater_head VALUES (1, 0, 0, 0)",
    f"""CREATE TABLE headwater_receipts (
        consumer TEXT NOT NULL,
        message_id BLOB NOT NULL,
        digest BLOB NOT NULL,
        outcome TEXT NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (consumer, message_id)
    ) {table_options("WITHOUT ROWID")}""",
    f"""CREATE TABLE headwater_checkpoints (
        subscription TEXT NOT NULL,
        partition INTEGER NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (subscription, partition)
    ) {table_options("WITHOUT ROWID")}""",
    f"""CREATE TABLE headwater_collections (
        name TEXT PRIMARY KEY,
        spec TEXT NOT NULL
    ) {table_options("WITHOUT ROWID")}""",
    f"""CREATE VIEW headwater_log AS SELECT
        position, stream_id, version, type, schema_version, data,
        {_TIME.format("occurred_at")},
        {_TIME.format("recorded_at")},
        {_ID.format("id")},
        {_MAYBE_ID.format("correlation_id")},
        {_MAYBE_ID.format("causation_id")},
        actor, tenant, traceparent, headers, tags
    FROM headwater_events""",
)

_SECOND: Final = (
    # On the events, so that a reader who leaves archived ones out looks nowhere else.
    "ALTER TABLE headwater_events ADD COLUMN archived INTEGER NOT NULL DEFAULT 0",
    # Streams of which more is known than their events say. The version never falls below this.
    f"""CREATE TABLE headwater_streams (
        stream_id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        state TEXT NOT NULL
    ) {table_options("WITHOUT ROWID")}""",
    # What stays known of erased events. Their tags stay in headwater_event_tags as well.
    f"""CREATE TABLE headwater_erased (
        position INTEGER PRIMARY KEY,
        stream_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        id BLOB NOT NULL,
        type TEXT NOT NULL,
        tags TEXT,
        erased_at INTEGER NOT NULL
    ) {table_options()}""",
    "CREATE UNIQUE INDEX headwater_erased_by_id ON headwater_erased (id)",
    "CREATE INDEX headwater_erased_by_time ON headwater_erased (erased_at)",
    # Of older receipts it is not known when they came, so they count as if they came now.
    "ALTER TABLE headwater_receipts ADD COLUMN recorded_at INTEGER NOT NULL DEFAULT 0",
    "UPDATE headwater_receipts SET recorded_at = strftime('%s', 'now') * 1000000",
    "CREATE INDEX headwater_receipts_by_time ON headwater_receipts (recorded_at)",
    "ALTER TABLE headwater_checkpoints ADD COLUMN event_id BLOB",
    # Code from before that has the file open knows nothing of all this: it would append to
    # closed streams and leave stale ids beside checkpoints. It looks at the head for each commit
    # and each page, so under another name it finds nothing and says so.
    f"""CREATE TABLE headwater_latest (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        position INTEGER NOT NULL,
        row_version INTEGER NOT NULL,
        recorded_at INTEGER NOT NULL
    ) {table_options()}""",
    "INSERT INTO headwater_latest SELECT * FROM headwater_head",
    "DROP TABLE headwater_head",
)

_THIRD: Final = (
    # Who has a partition, and under which token, stands where the checkpoint does: whoever looks
    # at one sees the other. An older version that has the file open moves checkpoints without
    # tokens, which is allowed, and is held off by compare-and-set.
    "ALTER TABLE headwater_checkpoints ADD COLUMN token INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE headwater_checkpoints ADD COLUMN worker TEXT",
    "ALTER TABLE headwater_checkpoints ADD COLUMN expires_at INTEGER",
    # The last token given, for all subscriptions: it outlasts those that are dropped.
    "ALTER TABLE headwater_latest ADD COLUMN token INTEGER NOT NULL DEFAULT 0",
    f"""CREATE TABLE headwater_workers (
        subscription TEXT NOT NULL,
        worker TEXT NOT NULL,
        alive_until INTEGER NOT NULL,
        PRIMARY KEY (subscription, worker)
    ) {table_options("WITHOUT ROWID")}""",
)

MIGRATIONS: Final = (_FIRST, _SECOND, _THIRD)
"""Number n brings a file from schema version n - 1 to n. What was released is never changed."""


def migrate(connection: sqlite3.Connection, settings: SqliteSettings) -> None:
    """Make the tables, or bring older ones up to date; several processes may do so at once.

    Raises:
        SchemaVersionError: the tables were made by newer code, or by somebody else.
    """
    if stored_version(connection, settings) == len(MIGRATIONS):
        return
    with writing(connection, busy_seconds=settings.busy_seconds):
        version = stored_version(connection, settings)
        if version == 0:
            start(connection)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(
            "UPDATE headwater_meta SET value = ? WHERE name = 'schema_version'",
            (str(len(MIGRATIONS)),),
        )


def start(connection: sqlite3.Connection) -> None:
    """Make what every version has: the table that says which one it is."""
    connection.execute(
        f"CREATE TABLE headwater_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) "
        f"{table_options()}"
    )
    connection.execute("INSERT INTO headwater_meta VALUES ('schema_version', '0')")
    # A file that is somebody's already keeps its id: their tables and ours share it.
    if connection.execute("PRAGMA application_id").fetchone() == (0,):
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")


def stored_version(connection: sqlite3.Connection, settings: SqliteSettings) -> int:
    """Return the schema version of the tables, 0 if there are none.

    Raises:
        SchemaVersionError: they were made by newer code, or by somebody else.
    """
    tables = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE substr(name, 1, 10) = 'headwater_'"
        )
    }
    if not tables:
        return 0
    try:
        row = connection.execute(
            "SELECT value FROM headwater_meta WHERE name = 'schema_version'"
        ).fetchone()
        version = int(row[0])
    except (sqlite3.OperationalError, TypeError, ValueError) as error:
        if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error):
            raise
        raise SchemaVersionError(
            f"{settings.path} has tables named headwater_… that Headwater did not make; "
            f"use another file.",
            where=str(settings.path),
        ) from error
    if version > len(MIGRATIONS):
        raise SchemaVersionError(
            f"{settings.path} has schema version {version}; this code knows {len(MIGRATIONS)}. "
            f"Run the newer Headwater.",
            where=str(settings.path),
        )
    return version
