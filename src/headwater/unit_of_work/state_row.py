"""State rows: how an aggregate that is stored as state becomes one row, and back."""

import typing
from typing import Any, Final, cast

import msgspec

from headwater.domain.aggregate import Aggregate
from headwater.domain.state import state_of
from headwater.errors import ConfigurationError
from headwater.ports.changes import RowChange
from headwater.ports.rows import CollectionSpec, IndexedField
from headwater.serialization.codec import EventCodec
from headwater.serialization.index_values import index_codec
from headwater.unit_of_work.row_type import check_not_personal, collection_name
from headwater.unit_of_work.tracking import Tracked

VERSION_FIELD: Final = "stream_version"
"""The member of the stored row that says how many events led to it."""


class StateRow:
    """One class's rows: the state's fields, and the version of the stream beside it."""

    def __init__(self, cls: type[Aggregate[Any]], *, context: str, codec: EventCodec) -> None:
        """Compile *cls*.

        Raises:
            ConfigurationError: a unique attribute has no order that a storage could keep or is
                personal, or an attribute has the name of `VERSION_FIELD`.
        """
        state_type = cls.state_type()
        names = state_type.__struct_encode_fields__
        if VERSION_FIELD in names:
            raise ConfigurationError(
                f"{cls.__name__}.{VERSION_FIELD}: the row keeps the version under this name; "
                f"call the attribute something else."
            )
        hints = typing.get_type_hints(state_type, include_extras=True)
        if codec.is_personal(state_type):
            check_not_personal(cls.__name__, hints, cls.unique_fields())
        stored = dict(zip(state_type.__struct_fields__, names, strict=True))
        self._cls, self._codec = cls, codec
        self._state_type = state_type
        self._indexed = tuple(
            (name, index_codec(cls.__name__, name, hints[name])) for name in cls.unique_fields()
        )
        self.spec = CollectionSpec(
            collection_name(context, cls.aggregate_name()),
            (*names, VERSION_FIELD),
            tuple(
                IndexedField(stored[name], index.kind, unique=True) for name, index in self._indexed
            ),
        )

    def written(self, aggregate: Aggregate[Any], tracked: Tracked) -> RowChange:
        """Return the row of *aggregate* as it is now, guarded by the row version it was read at.

        Raises:
            RoundTripError: an attribute does not come back equal from encode + decode.
        """
        state = state_of(aggregate)
        id = str(aggregate.id)
        text = self._codec.encode_value(state, self._state_type, exact=True, around={"id": id})
        version = f'"{VERSION_FIELD}":{tracked.base + len(tracked.sealed)}'
        # The state is a JSON object; the version goes in as its last member.
        data = f"{text[:-1]},{version}}}" if len(text) > 2 else f"{{{version}}}"
        return RowChange(
            self.spec.name,
            id,
            data,
            tuple([index.encode(getattr(state, name)) for name, index in self._indexed]),
            tracked.row_version,
        )

    def restore(self, aggregate: Aggregate[Any], data: str) -> int:
        """Give *aggregate* the state that *data* holds; return the version of its stream."""
        state = cast("msgspec.Struct", self._codec.decode_value(data, self._state_type))
        version = _decode_version(data).stream_version
        aggregate.restore(state, version)
        return version


class _Version(msgspec.Struct):
    stream_version: int


_decode_version = msgspec.json.Decoder(_Version).decode
