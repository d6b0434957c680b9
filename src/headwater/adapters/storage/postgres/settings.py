"""What a PostgreSQL storage can be told, from code or from a URL."""

import re
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from headwater.adapters.storage.postgres.urls import PORT, SCHEMES, parts_of, without_secrets
from headwater.errors import ConfigurationError, InvalidNameError

SslMode: TypeAlias = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
WakeUps: TypeAlias = Literal["listen", "poll"]
Password: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""A password, or what returns one: it is asked for every connection that is made, so that a
cloud's short-lived token is always a fresh one."""

READERS_MAX: Final = 256
_SECONDS_MAX: Final = 3600
_FORM: Final = f"Write {SCHEMES[0]}://user:password@host/database."
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,47}\Z")


class PostgresSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a PostgreSQL storage works. Neither its repr nor any error shows a password.

    `hosts`: host names or addresses with their ports, or a directory with a Unix socket. Of
    several the one that can be written to is used, so that a failover is followed.
    `user`, `database`, `password`: as PostgreSQL knows them.
    `schema`: where all tables are; a database can hold several storages side by side.
    `sslmode`, `sslrootcert`: as in libpq, with a file of certificates to trust; `ssl_context`
    is used instead of them where it is given.
    `readers`: how many reads can be under way at once, each on a connection of its own. A
    process has one connection more that writes, one that listens, and one for the outbox.
    `connect_seconds`: how long one attempt to connect may take.
    `command_seconds`: how long one statement of the storage may take.
    `lock_seconds`: how long a commit waits for locks of others before it is tried once more.
    `patience_seconds`: for how long a lost connection is made anew before callers hear of it.
    `wake_ups`: ``"listen"`` hears of other processes' commits by LISTEN. ``"poll"`` only looks
    every `poll_seconds`, which is also done beside LISTEN, in case that a wake-up is lost.
    `listen_url`: where to LISTEN if that is elsewhere, because a pooler stands between.
    `pooled_by_pgbouncer`: PgBouncer in transaction mode stands between. Each statement then has
    a transaction of its own. Such a pooler passes no notifications on, so give `listen_url`, or
    set `wake_ups` to ``"poll"``.
    `moves_outbox`: move events that were staged in transactions of users into the log.
    `auto_migrate`: make or upgrade the tables when the storage is opened. For development; in
    production run ``headwater db upgrade URL`` before the new code starts.
    `application_name`: what ``pg_stat_activity`` shows.

    Raises:
        ConfigurationError: a value is out of range.
        InvalidNameError: `schema` can't name a schema.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str
    database: str
    password: Password | None = None
    schema: str = "headwater"
    sslmode: SslMode = "prefer"
    sslrootcert: Path | None = None
    ssl_context: ssl.SSLContext | None = None
    readers: int = 4
    connect_seconds: float = 10.0
    command_seconds: float = 60.0
    lock_seconds: float = 10.0
    patience_seconds: float = 30.0
    wake_ups: WakeUps = "listen"
    poll_seconds: float = 0.25
    listen_url: str | None = None
    pooled_by_pgbouncer: bool = False
    moves_outbox: bool = True
    auto_migrate: bool = False
    application_name: str = "headwater"

    def __post_init__(self) -> None:
        if _SCHEMA.match(self.schema) is None or self.schema.startswith("pg_"):
            raise InvalidNameError(
                "schema",
                self.schema,
                "it must hold at most 48 of a-z, 0-9 and _, and not begin with a digit or pg_",
            )
        _require("hosts", self.hosts, "one host at least", bool(self.hosts))
        _require("user", self.user, "a name", bool(self.user))
        _require("database", self.database, "a name", bool(self.database))
        modes, ways = get_args(SslMode), get_args(WakeUps)
        _require("sslmode", self.sslmode, f"one of {', '.join(modes)}", self.sslmode in modes)
        _require("wake_ups", self.wake_ups, "'listen' or 'poll'", self.wake_ups in ways)
        _require("readers", self.readers, f"1 … {READERS_MAX}", 1 <= self.readers <= READERS_MAX)
        for name in _SECONDS:
            value: float = getattr(self, name)
            allowed = f"above 0 and at most {_SECONDS_MAX}"
            _require(name, value, allowed, 0 < value <= _SECONDS_MAX)
        if self.pooled_by_pgbouncer and self.wake_ups == "listen" and self.listen_url is None:
            raise ConfigurationError(
                "PgBouncer passes no notifications on in transaction mode: set listen_url to the "
                "database itself, or wake_ups='poll'."
            )
        if self.listen_url is not None:
            parts_of(self.listen_url)

    def __repr__(self) -> str:
        """Show all settings but the secrets."""
        shown: list[str] = []
        for name in self.__struct_fields__:
            value: object = getattr(self, name)
            if name == "password" and value is not None:
                value = "…"
            if name == "listen_url" and self.listen_url is not None:
                value = without_secrets(self.listen_url)
            shown.append(f"{name}={value!r}")
        return f"PostgresSettings({', '.join(shown)})"

    @property
    def where(self) -> str:
        """The storage's URL without its secrets."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        place = f"postgresql://{self.user}@{hosts}/{self.database}"
        return place if self.schema == "headwater" else f"{place}?schema={self.schema}"

    @property
    def quoted_schema(self) -> str:
        """The schema as SQL names it, also where its name is a word of SQL's."""
        return f'"{self.schema}"'

    @property
    def channel(self) -> str:
        """What the storage notifies on and listens to; its messages are heads of the log."""
        return f"{self.schema}_log"

    def listening(self) -> "PostgresSettings":
        """Return the settings of the connection that listens."""
        if self.listen_url is None:
            return self
        parts = parts_of(self.listen_url)
        return msgspec.structs.replace(
            self,
            hosts=parts.hosts or self.hosts,
            user=parts.user or self.user,
            database=parts.database or self.database,
            password=self.password if parts.password is None else parts.password,
            pooled_by_pgbouncer=False,
            listen_url=None,
        )

    @staticmethod
    def from_url(url: str, *, password: Password | None = None) -> "PostgresSettings":
        """Return the settings that *url* names.

        ``postgresql://user:password@host:5432/database`` or ``postgres://…``; several hosts are
        parted by commas, and a Unix socket's directory is given as ``?host=/var/run/…``. User,
        password and database are percent-decoded. Settings follow as a query, by their names
        here: ``?schema=sales&readers=8``. *password* goes before the URL's.

        Raises:
            ConfigurationError: the URL is not of this form, or has an unknown or wrong setting.
        """
        shown, parts = without_secrets(url), parts_of(url)
        known = ", ".join(_OPTIONS)
        options: dict[str, object] = {}
        if not parts.user:
            # Before the options: a part of a password that is not encoded looks like one.
            raise ConfigurationError(f"{shown} names no user. {_FORM}")
        for name, value in parts.options:
            if name not in _OPTIONS or name in options:
                problem = "stands there twice" if name in options else "is not a setting"
                raise ConfigurationError(f"{shown}: {name!r} {problem}. The settings are {known}.")
            options[name] = value
        socket = options.pop("host", None)
        hosts = parts.hosts if socket is None else ((str(socket), PORT), *parts.hosts)
        if not (hosts and parts.database):
            missing = "database" if hosts else "host"
            raise ConfigurationError(f"{shown} names no {missing}. {_FORM}")
        try:
            typed = msgspec.convert(options, _Options, strict=False, dec_hook=_as_path)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"{shown}: {error}. The settings are {known}.") from error
        return PostgresSettings(
            hosts=hosts,
            user=parts.user,
            database=parts.database,
            password=parts.password if password is None else password,
            **{name: getattr(typed, name) for name in options},
        )


class _Options(msgspec.Struct, kw_only=True):
    """The settings that a query can give, with the types to convert its text to."""

    schema: str = ""
    sslmode: SslMode = "prefer"
    sslrootcert: Path | None = None
    readers: int = 0
    connect_seconds: float = 0
    command_seconds: float = 0
    lock_seconds: float = 0
    patience_seconds: float = 0
    wake_ups: WakeUps = "listen"
    poll_seconds: float = 0
    listen_url: str | None = None
    pooled_by_pgbouncer: bool = False
    moves_outbox: bool = True
    auto_migrate: bool = False
    application_name: str = ""


_SECONDS: Final = tuple(n for n in PostgresSettings.__struct_fields__ if n.endswith("_seconds"))
_OPTIONS: Final = ("host", *_Options.__struct_fields__)


def _as_path(kind: type, value: object) -> object:
    return kind(value)


def _require(name: str, value: object, allowed: str, holds: bool) -> None:  # noqa: FBT001 - the test itself
    if not holds:
        raise ConfigurationError(f"{name} must be {allowed}, not {value!r}.")
