"""Pending rows: what one unit of work has read and written in collections."""

from collections.abc import Callable

import msgspec

from headwater.errors import UnitOfWorkError
from headwater.ports.changes import RowChange, RowGuard

RowKey = tuple[str, str]


class PendingRows:
    """Row changes that wait for the commit, and the row versions that decisions rest on."""

    def __init__(
        self, *, check_writable: Callable[[], None], around: "PendingRows | None" = None
    ) -> None:
        """Start empty, on top of what the unit *around* has written by now."""
        self._check_writable = check_writable
        self._around: dict[RowKey, RowChange] = around.all() if around else {}
        self._changes: dict[RowKey, RowChange] = {}
        self._read: dict[RowKey, int] = {}

    def all(self) -> dict[RowKey, RowChange]:
        """Return the rows written here and around."""
        return {**self._around, **self._changes}

    def pending(self, collection: str, key: str) -> RowChange | None:
        """Return what was written under *key* here or around, and is not committed yet."""
        row_key = (collection, key)
        return self._changes.get(row_key) or self._around.get(row_key)

    def was_read(self, collection: str, key: str, version: int) -> None:
        """Remember the row version that a decision rests on (0: no row)."""
        self._read.setdefault((collection, key), version)

    def write(self, change: RowChange) -> None:
        """Collect *change*; the last one for a key counts.

        Raises:
            UnitOfWorkError: the unit only reads, or is done.
        """
        self._check_writable()
        self._changes[(change.collection, change.key)] = change

    def merge(self, child: "PendingRows") -> None:
        """Take over what *child* has read and written.

        Raises:
            UnitOfWorkError: a row was written here since *child* was made, and in it too.
        """
        for row_key, change in child._changes.items():
            if self._changes.get(row_key, self._around.get(row_key)) is not child._around.get(
                row_key
            ):
                raise UnitOfWorkError(
                    f"Row {row_key[1]!r} of {row_key[0]!r} was written by two handlers that ran "
                    f"in parallel. Publish sequentially, or write it in one of them."
                )
            self._changes[row_key] = change
        for row_key, version in child._read.items():
            self._read.setdefault(row_key, version)

    def changes(self) -> list[RowChange]:
        """Return what was written, guarded by the row version that was read, if one was."""
        return [self._guarded(row_key, change) for row_key, change in self._changes.items()]

    def guards(self) -> tuple[RowGuard, ...]:
        """Return guards for the rows that were read and not written."""
        return tuple(
            RowGuard(collection, key, version)
            for (collection, key), version in self._read.items()
            if (collection, key) not in self._changes
        )

    def _guarded(self, row_key: RowKey, change: RowChange) -> RowChange:
        read = self._read.get(row_key)
        if read is None or change.expected is not None:
            return change
        return msgspec.structs.replace(change, expected=read)
