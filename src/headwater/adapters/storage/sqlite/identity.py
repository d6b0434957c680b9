"""Whether the file at a path still is the one that was opened there."""

import os
from pathlib import Path
from typing import Final

from headwater.errors import StorageError


class FileIdentity:
    """Knows the file that was opened at *path*; asking costs a microsecond or two.

    Who moves a file goes on with it: SQLite would write into a database that nobody finds any
    more, and report success. It is asked by all threads.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._opened: tuple[int, int] | None = None

    def remember(self) -> None:
        """Take the file that is there now for the right one."""
        self._opened = self._found()

    def check(self) -> None:
        """Pass if it is there still.

        Raises:
            StorageError: another file stands at its path, or none.
        """
        if self._opened is None:
            return
        found = self._found()
        if found == self._opened:
            return
        what = "is gone" if found is None else "was replaced by another file"
        raise StorageError(
            f"{self._path} {what} while it was open: nothing was read or written. What was "
            f"committed before is in the file that was moved away. Restart whatever has it open; "
            f"and stop that before files are moved.",
            where=str(self._path),
        )

    def _found(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - with every commit: Path.stat takes longer
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino
