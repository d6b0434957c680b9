"""Type names, the type registry, and the codec that writes events as JSON text."""

from headwater.serialization.codec import EVENT_BYTES_MAX, EventCodec
from headwater.serialization.names import check_type_name, kebab_case, type_name
from headwater.serialization.raw_events import RAW_DEPTH_MAX
from headwater.serialization.registry import RegisteredType, TypeRegistry
from headwater.serialization.sameness import first_difference, same
from headwater.serialization.upcast_chains import UpcastChains
from headwater.serialization.upcast_faults import upcast_faults
from headwater.serialization.upcasting import StoredForm, Upcaster, Upcasters

__all__ = [
    "EVENT_BYTES_MAX",
    "RAW_DEPTH_MAX",
    "EventCodec",
    "RegisteredType",
    "StoredForm",
    "TypeRegistry",
    "UpcastChains",
    "Upcaster",
    "Upcasters",
    "check_type_name",
    "first_difference",
    "kebab_case",
    "same",
    "type_name",
    "upcast_faults",
]
