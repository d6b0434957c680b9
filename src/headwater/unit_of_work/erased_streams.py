"""Commits to streams that were found empty: they have a version where events were erased."""

from collections.abc import Collection

import msgspec

from headwater.errors import ConcurrencyError
from headwater.ports.changes import Append, Changes, Committed
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion


async def commit_on_erased(
    storage: Storage, changes: Changes, *, found_empty: Collection[str]
) -> Committed:
    """Commit *changes*, which expect that the streams *found_empty* are at version 0.

    Only where that is refused is the storage asked: a stream that is still empty is at a later
    version if its events were erased, and what was decided on it stands.

    Raises:
        ConflictError: what the decisions rest on has changed; nothing was written.
        StorageError, DeadlineExceededError: as `Storage.commit`.
    """
    not_asked = {*found_empty}
    while True:
        try:
            return await storage.commit(changes)
        except ConcurrencyError as refused:
            stream_id = refused.stream_id
            if stream_id not in not_asked:
                raise
            info = await storage.stream_info(stream_id)
            if info.first_version or not info.version:
                raise
            not_asked.remove(stream_id)
            changes = _counted_on(changes, stream_id, info.version)


def _counted_on(changes: Changes, stream_id: str, version: int) -> Changes:
    """Return *changes* with what is expected of a stream counted from *version* instead of 0."""
    appends = [
        Append(stream_id, ExpectedVersion.exactly(version + append.expected.version), append.events)
        if append.stream_id == stream_id and append.expected.version is not None
        else append
        for append in changes.appends
    ]
    return msgspec.structs.replace(changes, appends=tuple(appends))
