"""What upcasters make of an old event, without a storage or the classes of today."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headwater.serialization.upcast_chains import UpcastChains
from headwater.serialization.upcasting import Upcaster


def upcast(
    upcasters: Iterable[Upcaster], name: str, data: Mapping[str, Any], *, version: int = 1
) -> list[tuple[str, int, dict[str, Any]]]:
    """Return what a stored event is after all steps: name, version and data of each part.

    *upcasters* are such as ``context.upcasters``.

    Raises:
        UpcasterError: one of them failed, or returned what it must not.
    """
    parts = UpcastChains(upcasters).parts(name, version, msgspec.json.encode(data))
    return [(part.name, part.version, msgspec.json.decode(part.data)) for part in parts]
