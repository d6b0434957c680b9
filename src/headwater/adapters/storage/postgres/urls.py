"""URLs of PostgreSQL servers: their parts, and how one is shown without its secrets."""

import re
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from headwater.errors import ConfigurationError

SCHEMES: Final = ("postgresql", "postgres")
PORT: Final = 5432
_PORT_MAX: Final = 65535
_FORM: Final = re.compile(
    r"(?P<scheme>[a-z]+)://((?P<user>[^:@/?]*)(:(?P<password>[^/?]*))?@)?"
    r"(?P<hosts>[^@/?#]*)(/(?P<database>[^/?#]*))?(\?(?P<query>[^#]*))?\Z"
)
_HOST: Final = re.compile(
    r"(\[(?P<address>[0-9a-fA-F:.%]+)\]|(?P<name>[^:\[\]]+))(:(?P<port>\d+))?\Z"
)


class UrlParts(msgspec.Struct, frozen=True):
    """What a URL says; None or nothing for what it leaves out."""

    hosts: tuple[tuple[str, int], ...]
    user: str | None
    password: str | None
    database: str | None
    options: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"UrlParts(hosts={self.hosts!r}, user={self.user!r}, database={self.database!r})"


def parts_of(url: str) -> UrlParts:
    """Return the parts of *url*.

    Raises:
        ConfigurationError: it is no PostgreSQL URL.
    """
    found = _match(url)
    if found is None:
        raise _malformed(url)
    return UrlParts(
        tuple(_hosts(found["hosts"]) or ()),
        _decoded(found["user"]),
        _decoded(found["password"]),
        _decoded(found["database"]),
        tuple(parse_qsl(found["query"] or "", keep_blank_values=True)),
    )


def without_secrets(url: str) -> str:
    """Return *url* without its password and its query.

    Of what is no such URL, or names no user, only the scheme is shown: where a password is not
    encoded as it should be, a part of it is taken for something else.
    """
    found = _match(url)
    if found is None or found["user"] is None:
        scheme = url.partition(":")[0]
        return f"{scheme}://…" if scheme in SCHEMES else "…"
    database = "" if found["database"] is None else f"/{found['database']}"
    return f"{found['scheme']}://{found['user']}@{found['hosts']}{database}"


def _match(url: str) -> re.Match[str] | None:
    found = _FORM.match(url)
    known = found is not None and found["scheme"] in SCHEMES
    return found if found is not None and known and _hosts(found["hosts"]) is not None else None


def _hosts(texts: str) -> list[tuple[str, int]] | None:
    """Return hosts and their ports, None if one is malformed."""
    hosts: list[tuple[str, int]] = []
    for text in texts.split(",") if texts else ():
        host = _HOST.match(text)
        port = PORT if host is None or host["port"] is None else int(host["port"])
        if host is None or not 0 < port <= _PORT_MAX:
            return None
        hosts.append((unquote(host["address"] or host["name"]), port))
    return hosts


def _decoded(text: str | None) -> str | None:
    return unquote(text) if text else None


def _malformed(url: str) -> ConfigurationError:
    return ConfigurationError(
        f"{without_secrets(url)!r} is not a PostgreSQL URL. Write "
        f"postgresql://user:password@host:5432/database?schema=headwater, with '@', ':', '/', "
        f"'?' and '#' in names and passwords percent-encoded."
    )
