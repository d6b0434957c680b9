"""The ledger as a file of JSON lines, to which lines are only ever added."""

import asyncio
import errno
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headwater.errors import KeyStoreError
from headwater.ports.key_store import Forgotten

_CUT_OFF = b"#cut off"
"""Ends a line whose writing was cut off by a crash, so that it was never reported as written."""

_decode = msgspec.json.Decoder(Forgotten).decode


class LedgerFile:
    """Keeps the ledger in the file *path*, which is made when somebody is first forgotten.

    Put it where it is not restored together with the key store: what a backup of the keys brings
    back, the ledger takes away again. A relative path is taken from the working directory when it
    is first read or written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    async def entries(self) -> Sequence[Forgotten]:
        """As `Ledger.entries`. A last line that was cut off by a crash does not count."""
        return await asyncio.to_thread(self._read)

    async def add(self, entries: Sequence[Forgotten]) -> None:
        """As `Ledger.add`."""
        await asyncio.to_thread(self._append, tuple(entries))

    def _read(self) -> tuple[Forgotten, ...]:
        try:
            self.path = self.path.absolute()
            text = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise KeyStoreError(f"The ledger {self.path} can't be read: {error}.") from error
        # What follows the last line break was never reported as written.
        lines = text.split(b"\n")[:-1]
        entries: list[Forgotten] = []
        for number, line in enumerate(lines, start=1):
            if not line or line.endswith(_CUT_OFF):
                continue
            try:
                entries.append(_decode(line))
            except msgspec.MsgspecError as error:
                raise KeyStoreError(
                    f"The ledger {self.path} is damaged in line {number}: {error}. Mend that line, "
                    f"or restore the file from a backup; the key store has the same entries."
                ) from error
        return tuple(entries)

    def _append(self, entries: tuple[Forgotten, ...]) -> None:
        try:
            self.path = self.path.absolute()
            is_new = not self.path.exists()
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
                if self._is_cut_off(file):
                    lines = _CUT_OFF + b"\n" + lines
                _write_at_once(file, lines)
                os.fsync(file)
            finally:
                os.close(file)
            if is_new:
                self._sync_directory()
        except OSError as error:
            raise KeyStoreError(f"The ledger {self.path} can't be written: {error}.") from error

    def _is_cut_off(self, file: int) -> bool:
        size = os.fstat(file).st_size
        return size > 0 and os.pread(file, 1, size - 1) != b"\n"

    def _sync_directory(self) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _write_at_once(file: int, lines: bytes) -> None:
    # In one write, so that lines of several processes don't mix. Of what is not whole the next
    # one marks the rest as cut off.
    count = os.write(file, lines)
    if count < len(lines):
        raise OSError(errno.ENOSPC, f"{count} of {len(lines)} bytes were written")
