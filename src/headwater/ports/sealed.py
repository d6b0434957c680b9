"""What nobody may store: personal data that was taken out of a text, and not encrypted yet."""

from typing import Final

import msgspec

from headwater.errors import ConfigurationError
from headwater.ports.changes import Changes

PERSONAL_HEADER: Final = "$personal"
"""The first member of a stored text with personal parts: the parcels that they are in."""

PERSONAL_PREFIX: Final = f'{{"{PERSONAL_HEADER}":'
"""What such a text begins with, and no other."""


class _Parcel(msgspec.Struct):
    plain: list[msgspec.Raw] = []


class _Text(msgspec.Struct, rename={"parcels": PERSONAL_HEADER}):
    parcels: list[_Parcel]


_decode: Final = msgspec.json.Decoder(_Text).decode


def check_sealed(changes: Changes) -> None:
    """Pass if what is personal in *changes* is encrypted.

    Raises:
        ConfigurationError: something is not: it goes past the storage that has the keys.
    """
    for append in changes.appends:
        for event in append.events:
            if event.data.startswith(PERSONAL_PREFIX):
                _check(event.data, f"An event for {append.stream_id!r}")
    for row in changes.rows:
        if row.data is not None and row.data.startswith(PERSONAL_PREFIX):
            _check(row.data, f"A row of {row.collection!r}")
    for receipt in changes.receipts:
        if receipt.outcome.startswith(PERSONAL_PREFIX):
            _check(receipt.outcome, f"A receipt of {receipt.consumer!r}")


def _check(text: str, what: str) -> None:
    try:
        parcels = _decode(text).parcels
    except msgspec.MsgspecError:
        return  # Somebody else's text: nothing of ours was packed in it.
    if any(parcel.plain for parcel in parcels):
        raise ConfigurationError(
            f"{what} has personal data that is not encrypted. Commit it by the storage of the app "
            f"or event store that has the keys, or seal it first: SealedStorage.sealed(changes)."
        )
