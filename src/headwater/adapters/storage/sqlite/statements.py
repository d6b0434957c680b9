"""Many rows with few steps.

Python gives up its global lock for every row that SQLite steps to, and gets it back only when
the event loop's thread lets go of it. Next to a busy loop a page of a thousand rows took up to
a minute that way. So rows are read as one JSON text and written with many to a statement.
"""

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, TypeVar

import msgspec

KEYS_MAX: Final = 256
"""The most keys in one statement. Their number is rounded up to a power of two, so that few
statements need to be prepared."""

ROWS_MAX: Final = 64
"""The most rows that one statement inserts."""

_Row = TypeVar("_Row")


@contextmanager
def one_moment(cursor: sqlite3.Cursor) -> Generator[None]:
    """Let all statements in the ``with`` block see the file as it is at one moment."""
    if cursor.connection.in_transaction:
        yield
        return
    cursor.execute("BEGIN")
    try:
        yield
    finally:
        cursor.execute("COMMIT")


class RowsAsJson:
    """Reads rows as one JSON text: *columns* are SQL expressions, *row* is the tuple they make.

    Bytes must be selected as ``hex(…)``, and no column may be REAL, which JSON would round.
    """

    __slots__ = ("_columns", "_decode")

    def __init__(self, columns: Sequence[str], row: Any) -> None:
        self._columns = ", ".join(columns)
        self._decode = msgspec.json.Decoder(list[row]).decode

    def select(self, cursor: sqlite3.Cursor, source: str, values: Sequence[Any]) -> list[Any]:
        """Return the rows ``FROM`` *source*, in the order in which SQLite comes to them."""
        return self.select_with(cursor, "NULL", source, values)[0]

    def select_with(
        self,
        cursor: sqlite3.Cursor,
        extra: str,
        source: str,
        values: Sequence[Any],
        *,
        extra_values: Sequence[Any] = (),
    ) -> tuple[list[Any], Any]:
        """Return the rows ``FROM`` *source*, and the value of *extra* at the same moment."""
        columns = self._columns
        try:
            text, value = cursor.execute(
                f"SELECT json_group_array(json_array({columns})), {extra} FROM {source}",
                (*extra_values, *values),
            ).fetchone()
        except sqlite3.DataError:
            # The text would be longer than SQLite allows (1 GB), so it has to be row by row.
            with one_moment(cursor):
                (value,) = cursor.execute(f"SELECT {extra}", extra_values).fetchone()
                rows = cursor.execute(f"SELECT {columns} FROM {source}", values).fetchall()
            return rows, value
        return self._decode(text), value


def select_in(
    cursor: sqlite3.Cursor,
    rows: RowsAsJson,
    source: str,
    keys: Iterable[Any],
    *,
    first: Sequence[Any] = (),
) -> Iterator[Any]:
    """Yield *rows* of *source*, whose ``(IN)`` stands for *keys*; *first* are bound before them."""
    for some, marks in _portions(keys):
        yield from rows.select(cursor, source.replace("(IN)", marks), [*first, *some])


def delete_in(cursor: sqlite3.Cursor, source: str, keys: Iterable[Any]) -> None:
    """Delete the rows of *source*, whose ``(IN)`` stands for *keys*."""
    for some, marks in _portions(keys):
        cursor.execute(f"DELETE FROM {source.replace('(IN)', marks)}", some)


def _portions(keys: Iterable[Any]) -> Iterator[tuple[list[Any], str]]:
    wanted = list(keys)
    for start in range(0, len(wanted), KEYS_MAX):
        some = wanted[start : start + KEYS_MAX]
        count = 1 << (len(some) - 1).bit_length()
        some += [some[-1]] * (count - len(some))
        yield some, f"({', '.join('?' * count)})"


def insert_rows(
    cursor: sqlite3.Cursor, into: str, rows: Sequence[Sequence[Any]], *, then: str = ""
) -> None:
    """Insert *rows* with as few statements as `ROWS_MAX` allows; *then* follows the values."""
    if not rows:
        return
    marks = f"({', '.join('?' * len(rows[0]))})"
    start = 0
    while start < len(rows):
        # Powers of two, so that few statements need to be prepared.
        count = min(ROWS_MAX, 1 << ((len(rows) - start).bit_length() - 1))
        some = rows[start : start + count]
        cursor.execute(
            f"INSERT INTO {into} VALUES {', '.join([marks] * count)} {then}",
            tuple(chain.from_iterable(some)),
        )
        start += count
