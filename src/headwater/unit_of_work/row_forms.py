"""What rows of another version's form lack, so that nobody reads what no event has written."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from headwater.domain.read_model import ReadModel
from headwater.errors import RowFormError
from headwater.operations.projections.generations import Generation
from headwater.ports.rows import CollectionSpec


class Lacking(msgspec.Struct, frozen=True):
    """Which fields of `model` the live rows, of version `live`, have not.

    Without `fields` no row can be read; by those in `indexed` none can be found.
    """

    model: str
    live: int
    fields: tuple[str, ...] = ()
    indexed: frozenset[str] = frozenset()

    def hinders(self, used: Collection[str]) -> bool:
        """Return whether rows can't be read, or not be found by the fields *used*."""
        return bool(self.fields) or not self.indexed.isdisjoint(used)

    def check(self, used: Sequence[str]) -> None:
        """Pass unless it `hinders`.

        Raises:
            RowFormError: it does.
        """
        if self.hinders(used):
            missing = self.fields or [name for name in used if name in self.indexed]
            raise RowFormError(self.model, missing, live=self.live)


NOTHING_LACKING: Final = Lacking("", 0)


def lacking(
    model: type[ReadModel], spec: CollectionSpec, live: Generation | None, version: int | None
) -> Lacking:
    """Return what the rows of *live* lack for code that declares *model* as *spec*.

    A field with a default is missed only by code whose projection has an older *version* than the
    rows, or none: newer code has given the default for rows from before it.
    """
    if live is None or not live.fields:
        return NOTHING_LACKING
    newer = version is not None and version >= live.version
    fields = tuple(
        field.encode_name
        for field in msgspec.structs.fields(model)
        if field.encode_name not in live.fields and (field.required or not newer)
    )
    indexed = frozenset(field.name for field in spec.indexed) - frozenset(live.indexed)
    return Lacking(model.__name__, live.version, fields, indexed)
