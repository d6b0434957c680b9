"""The JSON schema of a message class: what its fields are called and which values they take."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import inspect

from headwater.serialization.foreign import is_pydantic_class, is_pydantic_model
from headwater.serialization.forms import with_ordered_sets

Schema = dict[str, Any]

_BOUNDS: Final = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}

_PLAIN: Final[Mapping[type[inspect.Type], Schema]] = {
    inspect.AnyType: {},
    inspect.RawType: {},
    inspect.NoneType: {"type": "null"},
    inspect.BoolType: {"type": "boolean"},
    inspect.DateType: {"type": "string", "format": "date"},
    # With a time zone, always: the codec writes none without.
    inspect.DateTimeType: {"type": "string", "format": "date-time"},
    inspect.TimeType: {"type": "string", "format": "time"},
    inspect.TimeDeltaType: {"type": "string", "format": "duration"},
    inspect.UUIDType: {"type": "string", "format": "uuid"},
    inspect.DecimalType: {"type": "string", "format": "decimal"},
}

_FACTORIES: Final = (list, dict, tuple, set, frozenset)


def schema_of(cls: type) -> Schema:
    """Return the JSON schema of a message class, with the classes inside it under ``$defs``.

    Docstrings and titles are left out: they change without anybody being hurt. It says more than
    msgspec's own schemas, which call a datetime any string and leave out the keys of a dict.
    """
    if is_pydantic_class(cls):
        return _pydantic_schema(cls)
    return _Schemas().root(cls)


class _Schemas:
    """Writes the schema of one message class; classes inside it get a name each."""

    def __init__(self) -> None:
        self._defs: dict[str, Schema] = {}
        # By identity: msgspec makes one node for each class, and they can stand in a circle.
        self._names: dict[int, str] = {}
        self._root: inspect.Type | None = None

    def root(self, cls: type) -> Schema:
        self._root = inspect.type_info(cls)
        schema = self._record(self._root)
        return {**schema, "$defs": self._defs} if self._defs else schema

    def _of(self, type: inspect.Type) -> Schema:
        if isinstance(type, inspect.Metadata):
            return self._of(type.type)
        if isinstance(type, inspect.UnionType):
            return _any_of([self._of(member) for member in type.types])
        if isinstance(type, inspect.EnumType):
            return {"enum": _ordered(member.value for member in type.cls)}
        if isinstance(type, inspect.LiteralType):
            return {"enum": _ordered(type.values)}
        if _record_fields(type) is not None:
            return self._ref(type)
        scalar = self._scalar(type)
        return scalar if scalar is not None else self._container(type)

    def _scalar(self, type: inspect.Type) -> Schema | None:
        if type.__class__ in _PLAIN:
            return dict(_PLAIN[type.__class__])
        kinds: tuple[tuple[Any, Schema], ...] = (
            (inspect.IntType, {"type": "integer"}),
            (inspect.FloatType, {"type": "number"}),
            (inspect.StrType, {"type": "string"}),
            (
                (inspect.BytesType, inspect.ByteArrayType, inspect.MemoryViewType),
                {"type": "string", "contentEncoding": "base64"},
            ),
        )
        for kind, schema in kinds:
            if isinstance(type, kind):
                return {**schema, **_constraints(type, "Length")}
        return None

    def _container(self, type: inspect.Type) -> Schema:
        if isinstance(type, inspect.DictType):
            schema: Schema = {"type": "object", "additionalProperties": self._of(type.value_type)}
            keys = self._of(type.key_type)
            if keys != {"type": "string"}:
                schema["propertyNames"] = keys
            return {**schema, **_constraints(type, "Properties")}
        if isinstance(type, inspect.TupleType):
            return _array([self._of(item) for item in type.item_types], len(type.item_types))
        if isinstance(type, inspect.CollectionType):
            schema = {"type": "array", "items": self._of(type.item_type)}
            if isinstance(type, inspect.SetType | inspect.FrozenSetType):
                schema["uniqueItems"] = True
            return {**schema, **_constraints(type, "Items")}
        raise TypeError(f"{type!r} has no JSON schema")  # No such type can be registered.

    def _ref(self, type: inspect.Type) -> Schema:
        if type is self._root:
            return {"$ref": "#"}
        name = self._names.get(id(type))
        if name is None:
            name = self._names[id(type)] = self._name_for(type)
            self._defs[name] = {}
            self._defs[name] = self._record(type)
        return {"$ref": f"#/$defs/{name}"}

    def _name_for(self, type: inspect.Type) -> str:
        cls: Any = getattr(type, "cls", None)
        wanted = cls.__name__ if cls is not None else "object"
        name, n = wanted, 1
        while name in self._defs:
            n += 1
            name = f"{wanted}-{n}"
        return name

    def _record(self, type: inspect.Type) -> Schema:
        fields = _record_fields(type) or ()
        tag = type.tag if isinstance(type, inspect.StructType) else None
        array_like = isinstance(type, inspect.NamedTupleType) or (
            isinstance(type, inspect.StructType) and type.array_like
        )
        schemas = [{**self._of(field.type), **_default(field)} for field in fields]
        if array_like:
            required = sum(field.required for field in fields)
            tags = [{"enum": [tag]}] if tag is not None else []
            return _array([*tags, *schemas], required + len(tags), open=True)
        properties = dict(zip((field.encode_name for field in fields), schemas, strict=True))
        required_names = [field.encode_name for field in fields if field.required]
        if isinstance(type, inspect.StructType) and tag is not None and type.tag_field is not None:
            properties[type.tag_field] = {"enum": [tag]}
            required_names.append(type.tag_field)
        schema: Schema = {
            "type": "object",
            "properties": properties,
            "required": sorted(required_names),
        }
        if isinstance(type, inspect.StructType) and type.forbid_unknown_fields:
            schema["additionalProperties"] = False
        return schema


def _record_fields(type: inspect.Type) -> tuple[inspect.Field, ...] | None:
    kinds = (
        inspect.StructType,
        inspect.DataclassType,
        inspect.TypedDictType,
        inspect.NamedTupleType,
    )
    return type.fields if isinstance(type, kinds) else None


def _array(items: list[Schema], required: int, *, open: bool = False) -> Schema:
    schema: Schema = {"type": "array", "prefixItems": items, "minItems": required}
    return schema if open else {**schema, "maxItems": len(items), "items": False}


def _any_of(members: Iterable[Schema]) -> Schema:
    flat = [inner for member in members for inner in member.get("anyOf", [member])]
    if {} in flat:
        return {}
    distinct = {msgspec.json.encode(member, order="sorted"): member for member in flat}
    ordered = [distinct[text] for text in sorted(distinct)]
    return ordered[0] if len(ordered) == 1 else {"anyOf": ordered}


def _ordered(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=lambda value: (type(value).__name__, str(value)))


def _constraints(type: inspect.Type, lengths: str) -> Schema:
    """Return the bounds of *type* by the names that JSON Schema has for them."""
    names = {**_BOUNDS, "min_length": f"min{lengths}", "max_length": f"max{lengths}"}
    found = {names[own]: getattr(type, own, None) for own in names}
    return {name: value for name, value in found.items() if value is not None}


def _default(field: inspect.Field) -> Schema:
    if field.required:
        return {}
    value: object = field.default
    if value is msgspec.NODEFAULT:
        if field.default_factory not in _FACTORIES:
            return {}
        value = cast("Callable[[], object]", field.default_factory)()
    if value is msgspec.UNSET:
        return {}
    try:
        plain = with_ordered_sets(value, msgspec.to_builtins(value, str_keys=True))
        # As text and back, so that a document that was read again is equal.
        return {"default": msgspec.json.decode(msgspec.json.encode(plain))}
    except (TypeError, ValueError, msgspec.MsgspecError):
        return {}


# --------------------------------------------------------------------------------- pydantic


def _pydantic_schema(cls: Any) -> Schema:
    # Only who has a pydantic class gets here.
    from pydantic import TypeAdapter  # noqa: PLC0415
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415

    class Ordered(GenerateJsonSchema):
        def encode_default(self, dft: Any) -> Any:
            return with_ordered_sets(dft, super().encode_default(dft))

    schema: Schema
    if is_pydantic_model(cls):
        schema = cls.model_json_schema(by_alias=True, mode="validation", schema_generator=Ordered)
    else:
        adapter: TypeAdapter[Any] = TypeAdapter(cls)
        schema = adapter.json_schema(by_alias=True, mode="validation", schema_generator=Ordered)
    return _inlined(cast("Schema", _bare(schema)))


def _inlined(schema: Schema) -> Schema:
    """Return *schema* with its root in place, where it was a reference for its recursion's sake."""
    prefix, _, name = str(schema.get("$ref", "")).rpartition("/")
    if prefix != "#/$defs":
        return schema
    return {**schema["$defs"][name], "$defs": schema["$defs"]}


def _bare(schema: "Schema | list[Schema] | object", *, names: bool = False) -> Any:
    """Return *schema* without titles and descriptions; *names* says its keys are field names."""
    if isinstance(schema, list):
        return [_bare(member) for member in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    bare: Schema = {}
    for key, value in cast("Schema", schema).items():
        if names:
            bare[key] = _bare(value)
        elif key in {"default", "enum", "const", "required"}:
            bare[key] = sorted(value) if key == "required" else value
        elif key not in {"title", "description", "examples", "discriminator"}:
            bare[key] = _bare(value, names=key in {"properties", "$defs"})
    return bare
