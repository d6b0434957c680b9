"""Type names, the type registry, and the codec that writes events as JSON text."""

from headwater.serialization.codec import EVENT_BYTES_MAX, RAW_DEPTH_MAX, EventCodec
from headwater.serialization.names import check_type_name, kebab_case, type_name
from headwater.serialization.registry import RegisteredType, TypeRegistry
from headwater.serialization.sameness import first_difference, same

__all__ = [
    "EVENT_BYTES_MAX",
    "RAW_DEPTH_MAX",
    "EventCodec",
    "RegisteredType",
    "TypeRegistry",
    "check_type_name",
    "first_difference",
    "kebab_case",
    "same",
    "type_name",
]
