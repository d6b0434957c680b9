"""The bond of a storage and its keys: each storage notes which key store it is written with."""

from typing import Final

import msgspec

from headwater.errors import ConflictError, KeyStoreMismatchError
from headwater.ports.changes import Changes, RowChange
from headwater.ports.log import WHOLE_LOG
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.serialization.personal.parcels import addressees

BINDINGS: Final = CollectionSpec("headwater_key_store", ("keys", "where"))
"""The collection that holds the note: one row."""

SAMPLE_EVENTS: Final = 1000
"""How many of the first, and of the last, events of a log are looked at for whose they are."""

_KEY: Final = "bound"


class Binding(msgspec.Struct, frozen=True):
    """A key store: the name of its own first key, which nothing else has, and where it was."""

    keys: str
    where: str


_decode: Final = msgspec.json.Decoder(Binding).decode


async def noted_binding(storage: Storage) -> Binding | None:
    """Return the key store that the open *storage* is written with, None if it notes none."""
    if all(spec.name != BINDINGS.name for spec in await storage.collections()):
        return None
    return (await _read(storage))[0]


async def note_binding(storage: Storage, binding: Binding, *, anew: bool) -> Binding:
    """Note *binding* in the open *storage*, and return what is noted now.

    What is noted already stays, unless it is to be noted *anew*.

    Raises:
        StorageError: nothing can be noted here.
    """
    while True:
        noted, version = await _read(storage)
        if noted is not None and (noted == binding or not anew):
            return noted
        text = msgspec.json.encode(binding).decode()
        row = RowChange(BINDINGS.name, _KEY, text, expected=version)
        try:
            await storage.commit(Changes(rows=(row,)))
        except ConflictError:
            # Another process has noted something first: look what.
            continue
        return binding


def check_same(noted: Binding, own: Binding) -> None:
    """Pass if both are one key store.

    Raises:
        KeyStoreMismatchError: they are two.
    """
    if noted.keys != own.keys:
        problem = f"its first key is {own.keys!r}, and the storage notes {noted.keys!r}"
        raise KeyStoreMismatchError(own.where, bound_to=noted.where, problem=problem)


async def subjects_in(storage: Storage) -> frozenset[str]:
    """Return of whom something personal stands among the first and last `SAMPLE_EVENTS`."""
    head = await storage.head()
    subjects: set[str] = set()
    for after in sorted({0, max(0, head - SAMPLE_EVENTS)}):
        page = await storage.read_log(after=after, where=WHOLE_LOG, limit=SAMPLE_EVENTS)
        for event in page.events:
            subjects |= addressees(event.data)
    return frozenset(subjects)


async def _read(storage: Storage) -> tuple[Binding | None, int]:
    await storage.prepare_collections([BINDINGS])
    row = (await storage.get_rows(BINDINGS.name, (_KEY,))).get(_KEY)
    return (None, 0) if row is None else (_decode(row.data), row.version)
