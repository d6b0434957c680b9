"""Storages by URL."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.clock import Clock
from headwater.errors import ConfigurationError, MissingExtraError
from headwater.ports.storage import Storage


def _memory(url: str, clock: Clock) -> Storage:
    if url != "memory://":
        raise ConfigurationError(f"{url!r}: a storage in memory has no name; write 'memory://'.")
    return MemoryStorage(clock)


def _sqlite(url: str, clock: Clock) -> Storage:
    return SqliteStorage(SqliteSettings.from_url(url), clock=clock)


def _postgres(url: str, clock: Clock) -> Storage:
    try:
        from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage  # noqa: PLC0415 - its driver is an extra
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise MissingExtraError("asyncpg", "postgres") from error
    return PostgresStorage(PostgresSettings.from_url(url), clock=clock)


_BY_SCHEME: Final[Mapping[str, Callable[[str, Clock], Storage]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgres,
    "postgres": _postgres,
}


def storage_of(url: str, *, clock: Clock) -> Storage:
    """Return the storage that *url* names.

    ``memory://``, ``sqlite:///shop.db`` or ``postgresql://user@host/database``.

    Raises:
        MissingExtraError: the driver for it is not installed.
        ConfigurationError: there is no storage for its scheme, or it is not well-formed.
    """
    scheme = url.partition(":")[0]
    make = _BY_SCHEME.get(scheme)
    if make is None:
        known = ", ".join(f"{name}://" for name in _BY_SCHEME)
        if scheme == url:
            raise ConfigurationError(f"{url!r} is no URL; a file is named as 'sqlite:///{url}'.")
        raise ConfigurationError(f"No storage for {scheme!r} URLs; there are: {known}.")
    return make(url, clock)


def file_of(url: str) -> Path | None:
    """Return the file that *url* names, None for a storage that is not one file.

    Raises:
        ConfigurationError: the URL is not well-formed.
    """
    return SqliteSettings.from_url(url).path if url.startswith("sqlite:") else None
