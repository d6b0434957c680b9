"""Reads and writes files of exported events, chunk by chunk. All of it blocks."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from headwater.errors import ExportFileError
from headwater.operations.export_format import (
    CHUNK_BYTES_MAX,
    CHUNK_EVENTS_MAX,
    FORMAT,
    End,
    EventLine,
    Header,
    Line,
    Mark,
    StreamLine,
    chained,
    decode_line,
    encode_line,
    event_line,
    hyphened,
    stored_event,
    stream_line,
)
from headwater.ports.log import StoredEvent, StreamInfo

CHUNK_BYTES_READ_MAX: Final = 512 << 20
"""A chunk that is larger was not written by this code, and is not read."""

_MARK: Final = b'{"kind":"mark"'
_END: Final = b'{"kind":"end"'
_HEADER: Final = b'{"kind":"header"'
_END_BYTES_MAX: Final = 4096
_NOTHING_YET: Final = Mark(0, 0, None, 0, "", "")


class Chunk(msgspec.Struct, frozen=True):
    """What stands between two marks, and the second of them."""

    lines: Sequence[bytes]
    first_line: int
    mark: Mark

    def decoded(self) -> tuple[tuple[StoredEvent, ...], tuple[StreamInfo, ...]]:
        """Return the events and the streams of the chunk.

        Raises:
            ExportFileError: a line is something else.
        """
        events: list[StoredEvent] = []
        streams: list[StreamInfo] = []
        for number, text in enumerate(self.lines, self.first_line):
            line = decode_line(text, number=number)
            if isinstance(line, EventLine):
                events.append(stored_event(line))
            elif isinstance(line, StreamLine):
                streams.append(line.info)
            else:
                raise ExportFileError(f"Line {number} is of a kind that can't stand there.")
        return tuple(events), tuple(streams)


class ExportReader:
    """Reads an export from its start; `chunk` returns one after another.

    `mark` is the last mark that was read, and `offset` the byte behind it. `end` is the last
    line once it was read; None after the last chunk says that the export is unfinished.

    Raises:
        ExportFileError: the file is no export, or one in a newer format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("rb")
        self.header, line = self._header()
        self.mark = msgspec.structs.replace(_NOTHING_YET, digest=chained("", line))
        self.end: End | None = None
        self.offset = len(line)
        self._line = 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _header(self) -> tuple[Header, bytes]:
        line = self._file.readline(_END_BYTES_MAX)
        if not line.startswith(_HEADER) or not line.endswith(b"\n"):
            self._file.close()
            raise ExportFileError(f"{self._path} is no export of events; name another file.")
        header = decode_line(line, number=1)
        if not isinstance(header, Header) or header.format != FORMAT:
            self._file.close()
            raise ExportFileError(
                f"{self._path} is an export in another format than {FORMAT}, which is the one "
                f"this code knows. Use the Headwater that wrote it."
            )
        return header, line

    def chunk(self) -> Chunk | None:
        """Return the next chunk, None after the last that is complete.

        Raises:
            ExportFileError: the digest or the totals of a mark don't fit what stands before it.
        """
        lines: list[bytes] = []
        size = 0
        first = self._line + 1
        while (line := self._file.readline()).endswith(b"\n"):
            self._line += 1
            if line.startswith(_MARK):
                return self._marked(Chunk(lines, first, self._mark(line)), size + len(line))
            if line.startswith(_END) and not lines:
                self._finish(line)
                return None
            lines.append(line)
            size += len(line)
            if size > CHUNK_BYTES_READ_MAX:
                raise self._damaged(f"no mark within {CHUNK_BYTES_READ_MAX} bytes")
        return None

    def _mark(self, line: bytes) -> Mark:
        mark = decode_line(line, number=self._line)
        if not isinstance(mark, Mark):
            raise self._damaged("it is no mark")
        return mark

    def _marked(self, chunk: Chunk, size: int) -> Chunk:
        before, mark = self.mark, chunk.mark
        if chained(before.digest, b"".join(chunk.lines)) != mark.digest:
            raise self._damaged("the digest is not that of the lines before it")
        if mark.events + mark.streams != before.events + before.streams + len(chunk.lines):
            raise self._damaged("the totals don't fit the lines before it")
        self.mark = mark
        self.offset += size
        return chunk

    def _finish(self, line: bytes) -> None:
        end, mark = decode_line(line, number=self._line), self.mark
        expected = End(mark.events, mark.streams, self.header.head, mark.digest)
        if end != expected:
            raise self._damaged("the totals or the digest don't fit the lines before it")
        self.end = expected

    def _damaged(self, problem: str) -> ExportFileError:
        return ExportFileError(f"{self._path}, line {self._line}: {problem}. The file is damaged.")


def is_finished(path: Path) -> bool:
    """Return whether the file's last line is that of a finished export."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_BYTES_MAX))
        tail = file.read()
    return tail.endswith(b"\n") and tail.splitlines()[-1].startswith(_END)


class ExportWriter:
    """Appends to an export that was begun, or begins one.

    `mark` says how far the file has come. `end` is set if it is finished already.
    """

    def __init__(self, path: Path, *, head: int, exported_at: int) -> None:
        """Go on with *path* after its last mark; a new file ends at position *head*.

        Raises:
            ExportFileError: the file is no export, or damaged.
        """
        self.end: End | None = None
        self._lines: list[bytes] = []
        self._size = 0
        if _is_to_be_begun(path):
            self.header = Header(FORMAT, head, exported_at)
            line = encode_line(self.header)
            self.mark = msgspec.structs.replace(_NOTHING_YET, digest=chained("", line))
            self._file: BinaryIO = path.open("wb")
            self._file.write(line)
        else:
            self._go_on(path)
        self._next = self.mark

    def _go_on(self, path: Path) -> None:
        reader = ExportReader(path)
        try:
            while reader.chunk() is not None:
                pass
        finally:
            reader.close()
        self.header, self.mark, self.end = reader.header, reader.mark, reader.end
        self._file = path.open("r+b")
        if self.end is None:
            self._file.truncate(reader.offset)
        self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file; what came after the last mark is lost, and comes again."""
        self._file.close()

    def add_events(self, events: Sequence[StoredEvent]) -> None:
        """Append *events*."""
        for event in events:
            mark = self._next
            self._next = Mark(
                mark.events + 1,
                event.position,
                hyphened(event.id),
                mark.streams,
                mark.stream,
                "",
            )
            self._add(event_line(event))

    def add_streams(self, streams: Sequence[StreamInfo]) -> None:
        """Append what is to be known of *streams*; after all events."""
        for info in streams:
            self._next = msgspec.structs.replace(
                self._next, streams=self._next.streams + 1, stream=info.stream_id
            )
            self._add(stream_line(info))

    def _add(self, line: Line) -> None:
        encoded = encode_line(line)
        self._lines.append(encoded)
        self._size += len(encoded)
        if len(self._lines) >= CHUNK_EVENTS_MAX or self._size >= CHUNK_BYTES_MAX:
            self.set_mark()

    def set_mark(self) -> None:
        """Write what was added since the last mark, and a mark."""
        if not self._lines:
            return
        chunk = b"".join(self._lines)
        self.mark = self._next = msgspec.structs.replace(
            self._next, digest=chained(self.mark.digest, chunk)
        )
        self._file.write(chunk + encode_line(self.mark))
        self._file.flush()
        self._lines, self._size = [], 0

    def finish(self) -> End:
        """Write the end, and the whole file through to the disk."""
        self.set_mark()
        mark = self.mark
        self.end = End(mark.events, mark.streams, self.header.head, mark.digest)
        self._file.write(encode_line(self.end))
        self._file.flush()
        os.fsync(self._file.fileno())
        return self.end


def _is_to_be_begun(path: Path) -> bool:
    """Return whether there is no file yet, or one that was cut off in its very first line."""
    if not path.exists():
        return True
    with path.open("rb") as file:
        start = file.readline(_END_BYTES_MAX)
    return not start.endswith(b"\n") and (start.startswith(_HEADER) or _HEADER.startswith(start))
