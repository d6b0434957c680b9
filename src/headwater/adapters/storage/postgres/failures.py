"""What the server's and the driver's errors mean for a caller."""

import ssl
from typing import Final

import asyncpg

from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.errors import (
    ConfigurationError,
    HeadwaterError,
    MigrationNeededError,
    SchemaVersionError,
    StorageBusyError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LOST: Final = ("25P03", "57P01", "57P02", "57P05", "08000", "08003", "08006")
_NOT_NOW: Final = ("57P03", "53300", "08001", "08004")
# A pooler ends connections with it. A server answers with it to a value that it can't read.
_PROTOCOL: Final = "08P01"
_FULL: Final = "53100"
_STANDBY: Final = "25006"
_FORBIDDEN: Final = "42501"
_WAITED: Final = ("55P03", "40P01", "40001", "57014")
_NO_TABLES: Final = ("42P01", "3F000", "42883", "42703")
_REFUSED: Final = ("28000", "28P01", "3D000", "55000")
_CORRUPT: Final = ("XX001", "XX002")
_TOO_OLD: Final = "HW003"
_TEXT: Final = ("22021", "22P05", "22P02")


def code_of(error: BaseException) -> str:
    """Return the SQLSTATE of an error of the server's; none for others."""
    return str(getattr(error, "sqlstate", None) or "")


def is_lost(error: BaseException) -> bool:
    """Return whether the connection is gone or could not be made, so that another may help."""
    if isinstance(error, StorageUnavailableError):
        return True
    if isinstance(error, asyncpg.PostgresError):
        code = code_of(error)
        ended = code == _PROTOCOL and "FATAL" in (error.severity_en, error.severity)
        return ended or code in _LOST or code in _NOT_NOW
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        # Also of a connection that the server has just ended asyncpg says that it is busy.
        return not isinstance(error, ValueError)
    refused = TimeoutError | ssl.SSLCertVerificationError
    return isinstance(error, OSError) and not isinstance(error, refused)


def is_refused(error: BaseException) -> bool:
    """Return whether the server takes no connection of this user to this database."""
    return code_of(error) in _REFUSED


def is_contended(error: BaseException) -> bool:
    """Return whether somebody else was in the way, so that it is worth trying again."""
    return code_of(error) in _WAITED


def is_read_only(error: BaseException) -> bool:
    """Return whether the server as a whole can be read, not written."""
    return code_of(error) == _STANDBY


def is_undecided(error: BaseException) -> bool:
    """Return whether a commit failed before anybody looked at what is in it."""
    return is_contended(error) or is_for_all(error) or is_missing(error)


def is_for_all(error: BaseException) -> bool:
    """Return whether no commit at all would succeed, whatever is in it."""
    return code_of(error) in (_FULL, _STANDBY, _TOO_OLD, *_CORRUPT)


def is_missing(error: BaseException) -> bool:
    """Return whether a table, column or function is not there, or not this user's to use.

    Commits that do without it may succeed.
    """
    return code_of(error) in (_FORBIDDEN, *_NO_TABLES)


def translated(error: Exception, settings: PostgresSettings) -> Exception:
    """Return the library's error for what the driver raised; others come back as they are."""
    where, code = settings.where, code_of(error)
    if isinstance(error, HeadwaterError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):  # which is a ValueError too
        return ConfigurationError(
            f"{where}: the server's certificate is not trusted ({error.verify_message}). Look at "
            f"sslmode, sslrootcert, and the name of the host."
        )
    if isinstance(error, ValueError):
        return (
            ValueError(f"{where}: {error}") if isinstance(error, asyncpg.InterfaceError) else error
        )
    if code == _TOO_OLD:
        return too_old(settings)
    if code in _TEXT:
        return ValueError(f"{where}: a text can't be stored: {error}")
    if code in _REFUSED:
        return ConfigurationError(
            f"{where}: the server refuses the connection ({error}). Look at the user, the "
            f"password, the database's name and the server's pg_hba.conf."
        )
    if code in _NO_TABLES:
        return MigrationNeededError(
            f"{where}: tables are missing or of another version ({error}). What is wrong, and "
            f"whether an upgrade mends it, says: headwater db status {where}",
            where=where,
        )
    kind, text = _kind_of(error, code, settings)
    return kind(f"{where}: {text}", where=where)


def too_old(settings: PostgresSettings) -> SchemaVersionError:
    """Return the error for code that may not write what newer code has upgraded."""
    return SchemaVersionError(
        f"{settings.where}: the schema is newer than this code can write. Run the newer Headwater.",
        where=settings.where,
    )


def _kind_of(
    error: Exception, code: str, settings: PostgresSettings
) -> tuple[type[StorageError], str]:
    if is_lost(error):
        advice = "Nothing was done. Is the server up, and does it take this many connections?"
        if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
            advice = "Nothing was done. No host that answers is a primary: promote a standby."
        return StorageUnavailableError, f"the server can't be reached ({_told(error)}). {advice}"
    if isinstance(error, TimeoutError):
        advice = (
            "Look at the server's load and the network, or raise connect_seconds or "
            "command_seconds."
        )
        return StorageUnavailableError, f"no answer in time. {advice}"
    if code == "57014":
        advice = "Look at the server's load, or raise statement_timeout for this user."
        return StorageBusyError, f"a statement was broken off ({error}). {advice}"
    if code in _WAITED:
        advice = "Look for transactions that are left open, or raise lock_seconds."
        return StorageBusyError, (
            f"others held locks for more than {settings.lock_seconds} s ({error}). {advice}"
        )
    if code == _FULL:
        return StorageFullError, (
            f"the server's disk is full ({error}). The commit was rolled back and nothing is "
            f"lost; make room and send it again."
        )
    if code in (_STANDBY, _FORBIDDEN):
        return StorageReadOnlyError, (
            f"it can be read, not written ({error}). A standby takes no commits; connect to the "
            f"primary, or grant this user the right to write."
        )
    if code in _CORRUPT:
        return StorageCorruptError, f"the stored data is damaged ({error}). Restore a backup."
    return StorageError, f"{type(error).__name__}: {error}"


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
