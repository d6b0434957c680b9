"""Personal data: fields that are stored encrypted with a key of the person they belong to."""

from headwater.serialization.personal.cipher import MasterKeys
from headwater.serialization.personal.marks import ERASED_TEXT, Personal, Subject
from headwater.serialization.personal.parcels import (
    addressees,
    for_subjects,
    members_for_subjects,
    subjects_read,
    unpacked,
)
from headwater.serialization.personal.personal_data import PersonalData
from headwater.serialization.personal.ring import KEY_RING_KEYS_MAX, KEY_RING_SECONDS
from headwater.serialization.personal.sealed_storage import SealedStorage

__all__ = [
    "ERASED_TEXT",
    "KEY_RING_KEYS_MAX",
    "KEY_RING_SECONDS",
    "MasterKeys",
    "Personal",
    "PersonalData",
    "SealedStorage",
    "Subject",
    "addressees",
    "for_subjects",
    "members_for_subjects",
    "subjects_read",
    "unpacked",
]
