"""Plans: where in a type's JSON the personal parts are, compiled once from its annotations."""

from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin

import msgspec

from headwater.errors import MessageTypeError
from headwater.serialization.personal.annotations import (
    ARRAYS,
    MAPPINGS,
    bare,
    hints_of,
    is_marked,
    is_union,
    mark_of,
    members_of,
    subject_field,
)
from headwater.serialization.personal.marks import ERASED_TEXT, NOT_DECLARED, Personal
from headwater.serialization.personal.parcels import (
    HEADER,
    VALUE,
    Place,
    packed,
    packed_value,
)
from headwater.serialization.personal.takes import (
    Around,
    Marked,
    RecordTake,
    Take,
    Taken,
    by_tag,
    entries,
    members,
    members_at,
    unless_null,
)
from headwater.serialization.sameness import fields_of, stored_names

Placeholder = Callable[[Any, Any, Any], bytes]
"""Writes a placeholder as JSON, given the class, the field's annotation and the value; raises a
`ValueError` where the field can't have it."""


class Plan(NamedTuple):
    """How the personal parts of one type are taken out of its JSON."""

    take: Take
    is_record: bool

    def mark(self, data: bytes, around: Around) -> bytes:
        """Return *data* with its personal parts packed in parcels in front.

        Raises:
            SerializationError: a part has no subject, or is not where its class says.
        """
        taken = Taken(around)
        place: Place = () if self.is_record else (VALUE,)
        body = bytes(self.take(msgspec.Raw(data), place, taken))
        pack = packed if self.is_record else packed_value
        return pack(body, taken.parcels())


def plan_of(of: Any, *, placeholder: Placeholder, around: tuple[str, ...] = ()) -> Plan | None:
    """Return where the personal parts of a type are, None if it has none.

    *around* names what is known of its values without being in them, such as the id of a state.

    Raises:
        MessageTypeError: a mark stands where it has no effect, names no subject, or declares no
            placeholder that its field could read as.
    """
    is_record = isinstance(bare(of), type) and fields_of_any(bare(of)) is not None
    if is_record and HEADER in {stored for stored, _ in stored_names(bare(of))}:
        raise MessageTypeError(f"{bare(of).__qualname__}: no field can be stored as {HEADER!r}.")
    if not is_marked(of):
        return None
    take = _Compiler(placeholder, around).take(of, where=str(getattr(of, "__qualname__", of)))
    return Plan(take, is_record)


def fields_of_any(cls: Any) -> tuple[str, ...] | None:
    """As `fields_of`, for pydantic's models too."""
    models: Mapping[str, object] | None = getattr(cls, "__pydantic_fields__", None)
    return tuple(models) if models is not None else fields_of(cls)


class _Compiler:
    def __init__(self, placeholder: Placeholder, around: tuple[str, ...]) -> None:
        self._placeholder, self._around = placeholder, around
        self._records: dict[Any, RecordTake] = {}

    def take(self, of: Any, *, where: str) -> Take:
        """Return what takes the parts out of values of a marked type."""
        if mark_of(of) is not None:
            raise MessageTypeError(
                f"{where}: Personal() stands inside another type. Mark the field as a whole, or "
                f"the fields of the records in it."
            )
        kind, args = bare(of), get_args(bare(of))
        if is_union(kind):
            return self._union(args, where)
        origin = get_origin(kind) or kind
        if origin in ARRAYS:
            return self._array(args, where)
        if origin in MAPPINGS and len(args) == 2:
            return entries(self.take(args[1], where=where))
        if isinstance(origin, type) and fields_of_any(origin) is not None:
            return self._record(kind, origin)
        raise MessageTypeError(
            f"{where}: personal fields can't be found within {of}. Mark the field that holds it "
            f"as a whole."
        )

    def _array(self, args: tuple[Any, ...], where: str) -> Take:
        if len(args) == 1 or (len(args) == 2 and args[1] is Ellipsis):
            return members(self.take(args[0], where=where))
        takes = {i: self.take(arg, where=where) for i, arg in enumerate(args) if is_marked(arg)}
        return members_at(takes)

    def _union(self, args: tuple[Any, ...], where: str) -> Take:
        kinds = [member for member in args if member is not NoneType]
        marked = [member for member in kinds if is_marked(member)]
        records = [m for m in kinds if isinstance(bare(m), type) and fields_of_any(bare(m))]
        if len(kinds) == 1:
            return unless_null(self.take(kinds[0], where=where))
        tagged = all(
            isinstance(bare(m), type)
            and issubclass(bare(m), msgspec.Struct)
            and bare(m).__struct_config__.tag is not None
            for m in records
        )
        if not tagged or any(member not in records for member in marked):
            raise MessageTypeError(
                f"{where}: personal fields can't be told apart in a union of these types. Use "
                f"records with a tag, or mark the field as a whole."
            )
        takes = {bare(m).__struct_config__.tag: self.take(m, where=where) for m in marked}
        return by_tag(bare(marked[0]).__struct_config__.tag_field, takes)

    def _record(self, kind: Any, cls: Any) -> Take:
        known = self._records.get(kind)
        if known is None:
            known = self._records[kind] = RecordTake(
                cls.__qualname__, issubclass(cls, msgspec.Struct)
            )
            self._fill(known, kind, cls)
        return known

    def _fill(self, record: RecordTake, kind: Any, cls: Any) -> None:
        config = getattr(cls, "__struct_config__", None)
        if config is not None and config.array_like:
            raise MessageTypeError(
                f"{cls.__qualname__} is written as an array, where personal fields have no names."
            )
        stored = {name: shown for shown, name in stored_names(cls)}
        for name in (HEADER, VALUE):
            if name in stored.values():
                raise MessageTypeError(f"{cls.__qualname__}: no field can be stored as {name!r}.")
        for name in _computed_fields(cls):
            raise MessageTypeError(
                f"{cls.__qualname__}.{name} is computed, maybe out of personal fields, and would "
                f"be stored as it is. Make it a property that is not written."
            )
        hints = {name: hint for name, hint in hints_of(kind).items() if name in stored}
        for name, hint in hints.items():
            mark = mark_of(hint)
            if mark is not None:
                record.marked.append(self._marked(cls, name, mark, hints, stored))
            elif is_marked(hint):
                record.nested[stored[name]] = self.take(hint, where=f"{cls.__qualname__}.{name}")

    def _marked(
        self,
        cls: Any,
        name: str,
        mark: Personal,
        hints: Mapping[str, Any],
        stored: Mapping[str, str],
    ) -> Marked:
        where = f"{cls.__qualname__}.{name}"
        subject = subject_field(cls, hints, mark.subject, where)
        around = subject not in stored
        if around and subject not in self._around:
            raise MessageTypeError(
                f"{where}: its subject {subject!r} is no field of {cls.__qualname__}."
            )
        if not around and is_marked(hints[subject]):
            raise MessageTypeError(
                f"{where}: its subject {subject!r} is personal itself, so nobody could be found."
            )
        erased = _erased(mark, hints[name], where)
        try:
            placeholder = self._placeholder(cls, hints[name], erased)
        except ValueError as error:
            raise MessageTypeError(
                f"{where} can't read as {erased!r} once its subject is forgotten: {error}. "
                f"Declare a value that it can have: Personal(…, erased=…)."
            ) from error
        shown = subject if around else stored[subject]
        return Marked(name, stored[name], shown, around, msgspec.Raw(placeholder))


def _computed_fields(cls: Any) -> list[str]:
    decorators = getattr(cls, "__pydantic_decorators__", None)
    return [] if decorators is None else [*decorators.computed_fields]


def _erased(mark: Personal, hint: Any, where: str) -> Any:
    if mark.erased is not NOT_DECLARED:
        return mark.erased
    kinds = members_of(hint)
    if NoneType in kinds:
        return None
    if kinds == [str]:
        return ERASED_TEXT
    raise MessageTypeError(
        f"{where} does not say what it reads as once its subject is forgotten. Write "
        f"Personal(…, erased=…), or let it be None."
    )
