"""What an SQLite storage can be told, from code or from a URL."""

from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from headwater.errors import ConfigurationError

Durability: TypeAlias = Literal["full", "normal"]

READERS_MAX: Final = 64
BYTES_MIN: Final = 1 << 20
MEMORY_ADVICE: Final = (
    "An SQLite database in memory is seen by one connection only. Use MemoryStorage "
    "(storage='memory://') for a storage that lives as long as its process."
)


class SqliteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an SQLite storage works.

    `path`: the file; it is made if it is missing, its directory is not.
    `durability`: ``"full"`` writes each commit through to the disk before it returns.
    ``"normal"`` leaves that to the operating system: after a power cut or a crash of the machine
    the last commits may be gone, whole ones from the end of the log; a crash of the process
    loses nothing. It is meant for tests and for data that can be had again.
    `readers`: how many reads can be under way at once, each on a thread of its own.
    `busy_seconds`: how long to wait for a lock that somebody else holds on the file.
    `news_seconds`: how late a commit of another process is noticed, at most.
    `wal_bytes_max`: past this size the write-ahead log is emptied as soon as readers allow.
    `file_bytes_max`: the file does not grow past this; then commits get a `StorageFullError`.

    Raises:
        ConfigurationError: a value is out of range, or `path` names a database in memory.
    """

    path: Path
    durability: Durability = "full"
    readers: int = 2
    busy_seconds: float = 10.0
    news_seconds: float = 0.05
    wal_bytes_max: int = 64 << 20
    file_bytes_max: int | None = None

    def __post_init__(self) -> None:
        if str(self.path) == ":memory:" or str(self.path).startswith("file:"):
            raise ConfigurationError(f"{str(self.path)!r} is not a file. {MEMORY_ADVICE}")
        _require("durability", self.durability, "'full' or 'normal'", self.durability in _DURABLE)
        _require("readers", self.readers, f"1 … {READERS_MAX}", 1 <= self.readers <= READERS_MAX)
        for name, seconds in (
            ("busy_seconds", self.busy_seconds),
            ("news_seconds", self.news_seconds),
        ):
            _require(name, seconds, "above 0 and at most 3600", 0 < seconds <= 3600)
        for name, size in (
            ("wal_bytes_max", self.wal_bytes_max),
            ("file_bytes_max", self.file_bytes_max),
        ):
            _require(name, size, "1 MiB or more", size is None or size >= BYTES_MIN)

    @staticmethod
    def from_url(url: str) -> "SqliteSettings":
        """Return the settings that *url* names.

        ``sqlite:///shop.db`` is relative to the working directory, ``sqlite:////var/shop.db``
        absolute. The path is percent-decoded; settings follow as a query, by their names here:
        ``sqlite:///shop.db?durability=normal&readers=4``.

        Raises:
            ConfigurationError: the URL is not of this form, or has an unknown or wrong setting.
        """
        parts = urlsplit(url)
        if parts.scheme != "sqlite" or parts.netloc or parts.fragment:
            raise ConfigurationError(
                f"{url!r} is not an SQLite URL. Write sqlite:///relative/path.db or "
                f"sqlite:////absolute/path.db; a '#' or '?' in a name is written %23 or %3F."
            )
        path = unquote(parts.path.removeprefix("/"))
        if path in ("", ":memory:"):
            raise ConfigurationError(f"{url!r} names no file. {MEMORY_ADVICE}")
        options = _options(url, parts.query)
        try:
            return msgspec.convert(
                {**options, "path": path},
                SqliteSettings,
                strict=False,
                dec_hook=lambda kind, value: kind(value),
            )
        except msgspec.ValidationError as error:
            raise ConfigurationError(
                f"{url!r}: {error}. The settings are {', '.join(_OPTIONS)}."
            ) from error


_DURABLE: Final = ("full", "normal")
_OPTIONS: Final = tuple(name for name in SqliteSettings.__struct_fields__ if name != "path")


def _options(url: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS or name in options:
            problem = "stands there twice" if name in options else "is not a setting"
            raise ConfigurationError(
                f"{url!r}: {name!r} {problem}. The settings are {', '.join(_OPTIONS)}."
            )
        options[name] = value
    return options


def _require(name: str, value: object, allowed: str, holds: bool) -> None:  # noqa: FBT001 - the test itself
    if not holds:
        raise ConfigurationError(f"{name} must be {allowed}, not {value!r}.")
