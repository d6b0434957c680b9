"""How long may be what is found by an index, and how much one read may ask for.

What fits one storage fits all others.
"""

from typing import Final

from headwater.errors import LimitExceededError
from headwater.ports.changes import Changes

TAG_BYTES_MAX: Final = 1024
"""The most bytes of a tag of an event, in UTF-8."""

ROW_KEY_BYTES_MAX: Final = 1024
"""The most bytes of a row's key, in UTF-8."""

INDEXED_BYTES_MAX: Final = 1600
"""The most bytes of an indexed text (in UTF-8) or bytes value of a row. PostgreSQL puts it into one
index entry with the row's key, which then has about 2,700."""


def check_sizes(changes: Changes) -> None:
    """Pass if all tags, row keys and indexed values of *changes* are within their limits.

    Raises:
        LimitExceededError: one is longer.
    """
    for append in changes.appends:
        for event in append.events:
            for tag in event.tags:
                _check("bytes in a tag", tag, TAG_BYTES_MAX)
    for row in changes.rows:
        _check("bytes in a row's key", row.key, ROW_KEY_BYTES_MAX)
        for value in row.indexed:
            if isinstance(value, str | bytes):
                _check("bytes in an indexed value", value, INDEXED_BYTES_MAX)


def check_limit(limit: int, limit_max: int) -> None:
    """Pass if a read may ask for *limit* events or rows.

    Raises:
        ValueError: it is outside 1 … *limit_max*.
    """
    if not 1 <= limit <= limit_max:
        raise ValueError(f"a limit is 1 to {limit_max}, not {limit}")


def _check(what: str, value: str | bytes, limit: int) -> None:
    if isinstance(value, str):
        # No character has more than four bytes. What can't be UTF-8 is refused elsewhere.
        if 4 * len(value) <= limit:
            return
        value = value.encode(errors="surrogatepass")
    if len(value) > limit:
        raise LimitExceededError(what, limit=limit, actual=len(value))
