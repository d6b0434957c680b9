"""Many keys looked up with few statements."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

KEYS_MAX: Final = 256
"""The most keys in one statement. Their number is rounded up to a power of two, so that few
statements need to be prepared."""


def select_in(
    cursor: sqlite3.Cursor, sql: str, keys: Iterable[Any], *, first: Sequence[Any] = ()
) -> Iterator[Any]:
    """Yield the rows of *sql*, whose ``(IN)`` stands for *keys*; *first* are bound before them."""
    wanted = list(keys)
    for start in range(0, len(wanted), KEYS_MAX):
        some = wanted[start : start + KEYS_MAX]
        count = 1 << (len(some) - 1).bit_length()
        some += [some[-1]] * (count - len(some))
        marks = f"({', '.join('?' * count)})"
        yield from cursor.execute(sql.replace("(IN)", marks), [*first, *some]).fetchall()
