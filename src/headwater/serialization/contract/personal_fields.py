"""Which fields of a message are personal, and whose: a part of its contract."""

import re
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, Final, NamedTuple, cast, get_args, get_origin

from headwater.serialization.contract.schemas import Schema
from headwater.serialization.personal.annotations import (
    ARRAYS,
    MAPPINGS,
    bare,
    hints_of,
    is_marked,
    is_union,
    mark_of,
    subject_field,
)
from headwater.serialization.sameness import stored_names

PersonalFields = dict[str, str]
"""The name of the subject's field by the path of the personal one, as in ``lines[].signed_by``."""

_STEP: Final = re.compile(r"\[\]|\{\}|[^.\[\]{}]+")


class MarkChange(NamedTuple):
    """What changed in the mark of a field; `subject` is the one that was or is named."""

    field: str
    subject: str
    reason: str


def personal_fields(cls: type) -> PersonalFields:
    """Return the personal fields of a message class, those of the records in it too."""
    return dict(sorted(_within(cls, "", frozenset())))


def _within(of: Any, at: str, around: frozenset[Any]) -> Iterator[tuple[str, str]]:
    kind = bare(of)
    if kind in around or not is_marked(of):
        return
    origin, args = get_origin(kind) or kind, get_args(kind)
    if is_union(kind):
        for member in args:
            if member is not NoneType:
                yield from _within(member, at, around)
    elif origin in ARRAYS:
        for arg in args:
            yield from _within(arg, f"{at}[]", around)
    elif origin in MAPPINGS and len(args) == 2:
        yield from _within(args[1], f"{at}{{}}", around)
    elif isinstance(origin, type):
        yield from _of_record(kind, origin, at, around | {kind})


def _of_record(kind: Any, cls: type, at: str, around: frozenset[Any]) -> Iterator[tuple[str, str]]:
    stored = {name: shown for shown, name in stored_names(cls)}
    hints = {name: hint for name, hint in hints_of(kind).items() if name in stored}
    for name, hint in hints.items():
        path = f"{at}.{stored[name]}" if at else stored[name]
        mark = mark_of(hint)
        if mark is None:
            yield from _within(hint, path, around)
        else:
            subject = subject_field(cls, hints, mark.subject, path)
            yield path, stored.get(subject, subject)


def lost_marks(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[MarkChange]:
    """Yield where a field of message *old* that is still in *new* is not its subject's any more."""
    marks: PersonalFields = new.get("personal", {})
    for field, subject in cast("PersonalFields", old.get("personal", {})).items():
        if not _is_in(new["schema"], field) or any(_holds(mark, field) for mark in marks):
            continue
        now = marks.get(field)
        if now is None:
            reason = "was personal, and is written in plain text from now on"
            yield MarkChange(field, subject, reason)
        elif now != subject and _is_in(new["schema"], _beside(field, subject)):
            reason = f"was personal data of {subject!r}, and is that of {now!r} from now on"
            yield MarkChange(field, subject, reason)


def added_marks(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[MarkChange]:
    """Yield where a field of message *old* that was not personal is so in *new*."""
    before: PersonalFields = old.get("personal", {})
    for field, subject in cast("PersonalFields", new.get("personal", {})).items():
        if field not in before and _is_in(old["schema"], field):
            yield MarkChange(field, subject, "is personal from now on")


def _holds(outer: str, field: str) -> bool:
    return field.startswith((f"{outer}.", f"{outer}[", f"{outer}{{"))


def _beside(field: str, name: str) -> str:
    record, dot, _ = field.rpartition(".")
    return f"{record}{dot}{name}"


def _is_in(document: Schema, path: str) -> bool:
    return _leads(document, _STEP.findall(path), document)


def _leads(schema: Schema, steps: list[str], document: Schema) -> bool:
    if not steps:
        return True
    reference = str(schema.get("$ref", ""))
    if reference:
        name = reference.removeprefix("#").removeprefix("/$defs/")
        return _leads(document["$defs"][name] if name else document, steps, document)
    step, *rest = steps
    ahead: list[Any] = [schema.get("properties", {}).get(step)]
    if step == "[]":
        ahead = [*schema.get("prefixItems", ()), schema.get("items")]
    elif step == "{}":
        ahead = [schema.get("additionalProperties")]
    return any(_leads(member, steps, document) for member in schema.get("anyOf", ())) or any(
        _leads(cast("Schema", one), rest, document) for one in ahead if isinstance(one, dict)
    )
