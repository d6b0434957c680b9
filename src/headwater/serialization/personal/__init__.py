"""Personal data: fields that are stored encrypted with a key of the person they belong to."""

from headwater.serialization.personal.marks import ERASED_TEXT, Personal, Subject
from headwater.serialization.personal.parcels import for_subjects, subjects_read

__all__ = ["ERASED_TEXT", "Personal", "Subject", "for_subjects", "subjects_read"]
