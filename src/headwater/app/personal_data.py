"""How an app is told where the keys of personal data are, and what they are wrapped by."""

from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from headwater.adapters.key_store.ledger_file import LedgerFile
from headwater.adapters.key_store.memory import MemoryKeyStore, MemoryLedger
from headwater.adapters.key_store.sqlite import SqliteKeyStore
from headwater.clock import Clock, Duration, seconds_of
from headwater.errors import ConfigurationError, MissingExtraError
from headwater.ports.key_store import KeyStore, KeyWrapper, Ledger
from headwater.ports.storage import Storage
from headwater.serialization.personal import KEY_RING_KEYS_MAX, KEY_RING_SECONDS, MasterKeys
from headwater.serialization.personal.personal_data import PersonalData


class PersonalDataSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the keys of personal data are kept, and how they are protected.

    `keys`: a URL, ``sqlite:///keys.db``, ``postgresql://user@host/keys`` or ``memory://``, or a
    key store, one of your own too. It must not be in the storage's database: whoever restored a
    backup of that would bring the keys back.
    `master_key`: the 32 bytes that the keys are wrapped by, or what returns them.
    `other_master_keys` only unwrap, while the master key is changed (see `MasterKeys`). With a
    `wrapper` of your own, such as one that asks a KMS, neither is given.
    `ledger`: the file that notes who was forgotten; keep it out of the keys' backups. It may be
    left out with keys in memory only.
    `ring_seconds`: how long a process holds a key, and may go on reading what another one forgot.
    `ring_keys_max`: how many keys a process holds.
    """

    keys: str | KeyStore
    master_key: bytes | Callable[[], bytes] | None = None
    other_master_keys: tuple[bytes, ...] = ()
    wrapper: KeyWrapper | None = None
    ledger: Path | str | Ledger | None = None
    ring_seconds: Duration = KEY_RING_SECONDS
    ring_keys_max: int = KEY_RING_KEYS_MAX

    def __repr__(self) -> str:
        # No key is ever shown.
        return f"PersonalDataSettings(keys={self.keys!r}, ledger={self.ledger!r})"


def personal_data_of(
    settings: PersonalDataSettings,
    *,
    clock: Clock | None = None,
    beside: Collection[Storage] = (),
) -> PersonalData:
    """Return what *settings* describe, not opened yet; *beside* are the storages it is for.

    Raises:
        ConfigurationError: they don't fit together, there is no key store for the URL, or it is
            the database of one of the storages.
        MissingExtraError: `cryptography` is not installed.
    """
    if isinstance(settings.keys, str) and settings.keys.startswith(("postgresql:", "postgres:")):
        _check_apart(settings.keys, beside)
    return PersonalData(
        _key_store(settings.keys) if isinstance(settings.keys, str) else settings.keys,
        wrapper=_wrapper(settings),
        ledger=_ledger(settings),
        clock=clock,
        ring_seconds=seconds_of(settings.ring_seconds),
        ring_keys_max=settings.ring_keys_max,
    )


def _wrapper(settings: PersonalDataSettings) -> KeyWrapper:
    if (settings.wrapper is None) == (settings.master_key is None):
        raise ConfigurationError(
            "Personal data wants a master_key, or a wrapper that has one elsewhere; one of them."
        )
    if settings.wrapper is not None:
        return settings.wrapper
    key = settings.master_key() if callable(settings.master_key) else settings.master_key
    return MasterKeys(key or b"", others=settings.other_master_keys)


def _ledger(settings: PersonalDataSettings) -> Ledger:
    ledger = settings.ledger
    if isinstance(ledger, str | Path):
        return LedgerFile(ledger)
    if ledger is not None:
        return ledger
    if settings.keys == "memory://":
        return MemoryLedger()
    raise ConfigurationError(
        "Personal data wants a ledger: the file that notes who was forgotten, apart from the "
        "keys, such as ledger='forgotten.jsonl'."
    )


def _memory(_url: str) -> KeyStore:
    return MemoryKeyStore()


def _sqlite(url: str) -> KeyStore:
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or parts.query or parts.fragment or not path:
        raise ConfigurationError(
            f"{url!r} names no file for keys. Write sqlite:///keys.db or sqlite:////var/keys.db."
        )
    return SqliteKeyStore(path)


def _postgres(url: str) -> KeyStore:
    try:
        from headwater.adapters.key_store.postgres import PostgresKeyStore  # noqa: PLC0415 - its driver is an extra
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise MissingExtraError("asyncpg", "postgres") from error
    return PostgresKeyStore(url)


def _check_apart(url: str, storages: Collection[Storage]) -> None:
    if find_spec("asyncpg") is None:
        raise MissingExtraError("asyncpg", "postgres")
    from headwater.adapters.storage.postgres import PostgresStorage  # noqa: PLC0415 - its driver is an extra
    from headwater.adapters.storage.postgres.urls import PORT, parts_of  # noqa: PLC0415

    keys = parts_of(url)
    servers, database = _servers(keys.hosts or [("localhost", PORT)]), keys.database or keys.user
    for storage in storages:
        if not isinstance(storage, PostgresStorage):
            continue
        same_server = servers & _servers(storage.settings.hosts)
        if same_server and database == storage.settings.database:
            raise ConfigurationError(
                f"The keys of personal data are to be kept in database {database!r}, where "
                f"the storage is: whoever restores a backup of it brings destroyed keys back. Name "
                f"another database, best on another server."
            )


def _servers(hosts: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    return {("127.0.0.1" if host in _LOOPBACK else host, port) for host, port in hosts}


_LOOPBACK: Final = ("localhost", "::1")
_BY_SCHEME: Final[Mapping[str, Callable[[str], KeyStore]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgres,
    "postgres": _postgres,
}


def _key_store(url: str) -> KeyStore:
    make = _BY_SCHEME.get(url.partition(":")[0])
    if make is None or "://" not in url:
        known = ", ".join(f"{name}://" for name in _BY_SCHEME)
        raise ConfigurationError(f"No key store for such a URL; there are: {known}.")
    return make(url)
