"""Recognizes classes of attrs and pydantic without importing either."""

import dataclasses
from typing import Any

import msgspec


def is_attrs_class(cls: Any) -> bool:
    """Return whether *cls* was made by attrs."""
    return "__attrs_attrs__" in vars(cls)


def is_pydantic_class(cls: Any) -> bool:
    """Return whether *cls* is a pydantic model or a pydantic dataclass."""
    return hasattr(cls, "__pydantic_validator__") and hasattr(cls, "__pydantic_serializer__")


def is_pydantic_model(cls: Any) -> bool:
    """Return whether *cls* is a pydantic model, whose fields are its ``__dict__``."""
    return hasattr(cls, "__pydantic_extra__") or (
        is_pydantic_class(cls) and hasattr(cls, "model_fields")
    )


def is_record_class(cls: object) -> bool:
    """Return whether *cls* can be a message: a record, dataclass, attrs or pydantic class."""
    if not isinstance(cls, type):
        return False
    kind: Any = cls
    return (
        issubclass(kind, msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or is_attrs_class(kind)
        or is_pydantic_class(kind)
    )
