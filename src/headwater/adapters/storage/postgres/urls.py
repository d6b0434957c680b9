"""URLs of PostgreSQL servers: their parts, and how one is shown without its secrets."""

import re
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from headwater.errors import ConfigurationError

SCHEMES: Final = ("postgresql", "postgres")
PORT: Final = 5432
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
    found = _FORM.match(url)
    if found is None or found["scheme"] not in SCHEMES:
        raise _malformed(url)
    hosts: list[tuple[str, int]] = []
    for text in found["hosts"].split(",") if found["hosts"] else ():
        host = _HOST.match(text)
        if host is None:
            raise _malformed(url)
        hosts.append((unquote(host["address"] or host["name"]), int(host["port"] or PORT)))
    return UrlParts(
        tuple(hosts),
        _decoded(found["user"]),
        _decoded(found["password"]),
        _decoded(found["database"]),
        tuple(parse_qsl(found["query"] or "", keep_blank_values=True)),
    )


def without_secrets(url: str) -> str:
    """Return *url* without its password and its query."""
    head, at, rest = url.partition("?")[0].rpartition("@")
    scheme, slashes, login = head.partition("://")
    return f"{scheme}{slashes}{login.partition(':')[0]}{at}{rest}"


def _decoded(text: str | None) -> str | None:
    return unquote(text) if text else None


def _malformed(url: str) -> ConfigurationError:
    return ConfigurationError(
        f"{without_secrets(url)!r} is not a PostgreSQL URL. Write "
        f"postgresql://user:password@host:5432/database?schema=headwater, with '@', ':', '/', "
        f"'?' and '#' in names and passwords percent-encoded."
    )
