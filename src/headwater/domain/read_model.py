"""Read models: flat records kept under a key, found by the fields declared as indexed."""

from typing import Any, ClassVar, cast, dataclass_transform

import msgspec

from headwater.errors import ConfigurationError
from headwater.messages import RecordMeta

ROW_OPTIONS_ATTRIBUTE = "__headwater_row__"


class RowOptions(msgspec.Struct, frozen=True):
    """What a read model says of itself: its key field, and those it can be found by."""

    key: str
    indexed: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()


class ReadModelMeta(RecordMeta):
    """Takes `key`, `indexed` and `unique` in the class header and checks that they are fields."""

    def __new__(
        mcls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        key: str | None = None,
        indexed: tuple[str, ...] = (),
        unique: tuple[str, ...] = (),
        **options: Any,
    ) -> "ReadModelMeta":
        cls = super().__new__(mcls, class_name, bases, namespace, **options)
        inherited: RowOptions | None = getattr(cls, ROW_OPTIONS_ATTRIBUTE, None)
        if inherited is not None:
            key = key or inherited.key
        if key is None:
            if any(isinstance(base, ReadModelMeta) for base in bases):
                raise ConfigurationError(
                    f"Read model {class_name} has no key. Name the field in its header: "
                    f'class {class_name}(ReadModel, key="…").'
                )
            return cast("ReadModelMeta", cls)
        row = RowOptions(key, indexed, unique)
        fields = {field.name for field in msgspec.structs.fields(cast("type[msgspec.Struct]", cls))}
        for name in (row.key, *row.indexed, *row.unique):
            if name not in fields:
                raise ConfigurationError(
                    f"Read model {class_name} names {name!r} in its header, but has only the "
                    f"fields {', '.join(sorted(fields)) or '(none)'}."
                )
        setattr(cls, ROW_OPTIONS_ATTRIBUTE, row)
        return cast("ReadModelMeta", cls)


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class ReadModel(msgspec.Struct, metaclass=ReadModelMeta, frozen=True):
    """A frozen row for reading, as ``class OrderSummary(ReadModel, key="order_id")``.

    `key` names the field that tells rows apart; `indexed` the fields to find and sort by;
    `unique` those of which no two rows may have the same value (they are indexed, too).
    """

    __headwater_row__: ClassVar[RowOptions]


def row_options(model: type[ReadModel]) -> RowOptions:
    """Return what *model* declared in its header."""
    return model.__headwater_row__
