"""Whether what is written by one schema can be read by another."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple, cast

import msgspec

from headwater.serialization.contract.schemas import Schema

_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EQUAL: Final = ("multipleOf", "pattern", "contentEncoding", "uniqueItems")

_TYPE_OF: Final[Mapping[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


class Kind(Enum):
    """In which way something that was written can't be read."""

    MISSING = "the reader requires a field that is not written"
    OPTIONAL = "the reader requires a field that is not always written"
    UNREAD = "a field is written that the reader passes over"
    REFUSED = "a field is written that the reader refuses"
    MEMBERS = "a value is written that the reader does not know"
    TYPE = "the reader takes another type"


class Problem(NamedTuple):
    """What a reader can't take: the field (``lines[].price``; empty: the whole), and why.

    `written` and `read` show what there is on either side.
    """

    field: str
    kind: Kind
    written: str = ""
    read: str = ""


def problems(writer: Schema, reader: Schema, *, lossless: bool) -> list[Problem]:
    """Return what keeps data written by *writer* from being read by *reader*.

    Both are whole documents, with their ``$defs``. With *lossless* it is a problem too if the
    reader passes over something that was written. What is tolerated: an integer where a number is
    read, whatever a union, an enum or an optional field takes in, and wider bounds.
    """
    return list(dict.fromkeys(_Comparison(writer, reader, lossless=lossless).all()))


class _Comparison:
    def __init__(self, writer: Schema, reader: Schema, *, lossless: bool) -> None:
        self._writer, self._reader, self._lossless = writer, reader, lossless
        # References that are being compared: a class can hold itself.
        self._under_way: set[tuple[str, str]] = set()

    def all(self) -> Iterator[Problem]:
        return self._compare(self._writer, self._reader, "")

    def _compare(self, written: Schema, read: Schema, at: str) -> Iterator[Problem]:
        pair = str(written.get("$ref", "")), str(read.get("$ref", ""))
        if all(pair):
            if pair in self._under_way:
                return
            self._under_way.add(pair)
        yield from self._compare_whole(
            _resolved(written, self._writer), _resolved(read, self._reader), at
        )
        self._under_way.discard(pair)

    def _compare_whole(self, written: Schema, read: Schema, at: str) -> Iterator[Problem]:
        if not _says_something(read):
            return
        if "anyOf" in written:
            for member in written["anyOf"]:
                yield from self._compare(member, read, at)
        elif "anyOf" in read:
            yield from self._against_any(written, read, at)
        elif "enum" in written or "const" in written:
            yield from self._members(_values(written), read, at)
        elif "enum" in read or "const" in read or not _same_type(written, read):
            yield Problem(at, Kind.TYPE, shown(written), shown(read))
        else:
            if not _within(written, read):
                yield Problem(at, Kind.TYPE, _with_bounds(written), _with_bounds(read))
            if read.get("type") == "object":
                yield from self._objects(written, read, at)
            elif read.get("type") == "array":
                yield from self._arrays(written, read, at)

    def _against_any(self, written: Schema, read: Schema, at: str) -> Iterator[Problem]:
        """Yield the problems with the member of a union that fits best."""
        fitting: list[list[Problem]] = []
        for member in cast("list[Schema]", read["anyOf"]):
            found = list(self._compare(written, member, at))
            if not found:
                return
            # A member of another type altogether tells less than what is wrong inside one.
            if all(problem.field != at for problem in found):
                fitting.append(found)
        otherwise = [Problem(at, Kind.TYPE, shown(written), shown(read))]
        yield from min(fitting, key=_misfit, default=otherwise)

    def _members(self, values: list[Any], read: Schema, at: str) -> Iterator[Problem]:
        # Whether each of the values has a format is not asked.
        if any(word in read for word in ("format", *_LOWER, *_UPPER, *_EQUAL)):
            yield Problem(at, Kind.TYPE, "one of " + ", ".join(map(repr, values)), shown(read))
            return
        if "enum" in read or "const" in read:
            known = [*map(_key, _values(read))]
            unknown = [value for value in values if _key(value) not in known]
        else:
            types = ("number", "integer") if read.get("type") == "number" else (read.get("type"),)
            unknown = [value for value in values if _type_of(value) not in types]
        if unknown:
            yield Problem(at, Kind.MEMBERS, ", ".join(map(repr, unknown)), shown(read))

    # ------------------------------------------------------------------------ containers

    def _objects(self, written: Schema, read: Schema, at: str) -> Iterator[Problem]:
        there: dict[str, Schema] = written.get("properties", {})
        wanted: dict[str, Schema] = read.get("properties", {})
        always, required = set(written.get("required", ())), set(read.get("required", ()))
        for name, schema in wanted.items():
            field = f"{at}.{name}" if at else name
            if name in there:
                yield from self._compare(there[name], schema, field)
                if name in required and name not in always:
                    yield Problem(field, Kind.OPTIONAL)
            elif name in required:
                yield Problem(field, Kind.MISSING)
        rest = read.get("additionalProperties", True)
        for name in sorted(there.keys() - wanted.keys()):
            field = f"{at}.{name}" if at else name
            if rest is False:
                yield Problem(field, Kind.REFUSED)
            elif isinstance(rest, dict):
                yield from self._compare(there[name], cast("Schema", rest), field)
            elif self._lossless:
                yield Problem(field, Kind.UNREAD)
        values = written.get("additionalProperties")
        if isinstance(values, dict) and isinstance(rest, dict):
            yield from self._compare(cast("Schema", values), cast("Schema", rest), f"{at}{{}}")
            keys = written.get("propertyNames", {"type": "string"})
            yield from self._compare(keys, read.get("propertyNames", {}), f"{at}{{}} (key)")
        elif isinstance(values, dict) and not wanted and rest is True and self._lossless:
            yield Problem(at, Kind.TYPE, shown(written), shown(read))

    def _arrays(self, written: Schema, read: Schema, at: str) -> Iterator[Problem]:
        first: list[Schema] = written.get("prefixItems", [])
        wanted: list[Schema] = read.get("prefixItems", [])
        for n in range(max(len(first), len(wanted))):
            item = first[n] if n < len(first) else written.get("items")
            taken = wanted[n] if n < len(wanted) else read.get("items", {})
            if isinstance(item, dict) and isinstance(taken, dict):
                yield from self._compare(cast("Schema", item), cast("Schema", taken), f"{at}[{n}]")
            if n >= len(wanted) and "items" not in read and self._lossless:
                yield Problem(f"{at}[{n}]", Kind.UNREAD)
        item, taken = written.get("items"), read.get("items", {})
        if isinstance(item, dict) and isinstance(taken, dict):
            yield from self._compare(cast("Schema", item), cast("Schema", taken), f"{at}[]")


def _misfit(found: list[Problem]) -> tuple[bool, int]:
    # Another tag says that it is another class, however little else is different.
    return any(problem.kind is Kind.MEMBERS for problem in found), len(found)


def _resolved(schema: Schema, document: Schema) -> Schema:
    while (reference := schema.get("$ref")) is not None:
        name = str(reference).removeprefix("#").removeprefix("/$defs/")
        schema = document["$defs"][name] if name else document
    return schema


def _says_something(schema: Schema) -> bool:
    return any(word in schema for word in ("type", "anyOf", "enum", "const"))


def _values(schema: Schema) -> list[Any]:
    return schema["enum"] if "enum" in schema else [schema["const"]]


def _type_of(value: object) -> str:
    return _TYPE_OF.get(value.__class__, "")


def _key(value: object) -> tuple[str, object]:
    # 1, 1.0 and True are one key in Python and three in JSON.
    return type(value).__name__, value


def _same_type(written: Schema, read: Schema) -> bool:
    one, other = written.get("type"), read.get("type")
    if other == "string" and read.get("format") == "decimal" and one in {"integer", "number"}:
        return True
    return one == other or (one, other) == ("integer", "number")


def _within(written: Schema, read: Schema) -> bool:
    """Return whether all that *written* allows is within the bounds of *read*."""
    form = read.get("format")
    if form not in {None, written.get("format")} and written.get("type") == "string":
        return False
    for word in _LOWER:
        if word in read and not (word in written and written[word] >= read[word]):
            return False
    for word in _UPPER:
        if word in read and not (word in written and written[word] <= read[word]):
            return False
    return all(written.get(word) == read[word] for word in _EQUAL if word in read)


def _with_bounds(schema: Schema) -> str:
    words = (*_LOWER, *_UPPER, *_EQUAL)
    bounds = ", ".join(f"{word} {schema[word]}" for word in words if word in schema)
    return f"{shown(schema)} ({bounds})" if bounds else shown(schema)


def shown(schema: Schema) -> str:
    """Return *schema* in a few words."""
    if "anyOf" in schema:
        return " or ".join(map(shown, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(map(repr, _values(schema)))
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    name = str(schema.get("type", "anything"))
    return f"{name} ({schema['format']})" if "format" in schema else name


def equal(one: Schema, other: Schema) -> bool:
    """Return whether two documents are the same; the order of entries does not count."""
    encode = msgspec.json.Encoder(order="sorted").encode
    return encode(one) == encode(other)
