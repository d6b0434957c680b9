"""What is looked at in a commit before it waits for its turn: ids, and how large it is."""

from collections.abc import Iterable
from typing import Final

from headwater.adapters.storage.postgres.limits import COMMIT_BYTES_MAX
from headwater.errors import LimitExceededError
from headwater.ports.changes import Changes

_ID_BYTES: Final = 16


def checked_bytes(changes: Changes) -> int:
    """Return how many bytes of data, headers, row data and outcomes *changes* hold.

    Raises:
        ValueError: an id is not of 16 bytes.
        LimitExceededError: they are more than `COMMIT_BYTES_MAX`.
    """
    size = 0
    for append in changes.appends:
        for event in append.events:
            size += _bytes(event.data)
            if event.headers is not None:
                size += _bytes(event.headers)
            if len(event.id) != _ID_BYTES:
                raise _not_an_id(event.id)
            for id_ in (event.correlation_id, event.causation_id):
                if id_ is not None and len(id_) != _ID_BYTES:
                    raise _not_an_id(id_)
    if changes.rows or changes.receipts or changes.checkpoints:
        size += sum(map(_bytes, _texts(changes)))
        _check_ids(changes)
    if size > COMMIT_BYTES_MAX:
        raise LimitExceededError("bytes in one commit", limit=COMMIT_BYTES_MAX, actual=size)
    return size


def _texts(changes: Changes) -> Iterable[str]:
    for row in changes.rows:
        if row.data is not None:
            yield row.data
            for value in row.indexed:
                if isinstance(value, str):
                    yield value
    for receipt in changes.receipts:
        yield receipt.outcome


def _check_ids(changes: Changes) -> None:
    ids = [receipt.message_id for receipt in changes.receipts]
    ids += [move.event_id for move in changes.checkpoints if move.event_id is not None]
    for id_ in ids:
        if len(id_) != _ID_BYTES:
            raise _not_an_id(id_)


def _bytes(text: str) -> int:
    # A lone surrogate is refused later, by whoever has to write it.
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _not_an_id(id_: bytes) -> ValueError:
    return ValueError(f"an id has {_ID_BYTES} bytes, not {len(id_)}")
