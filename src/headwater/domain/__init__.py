"""Aggregates and deciders: pure code that decides by events. Imports the vocabulary only."""

from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import AppliesMethod, applies, applies_methods
from headwater.domain.decider import Decider
from headwater.domain.identity import stream_id
from headwater.domain.recording import Pending
from headwater.domain.state import state_of

__all__ = [
    "Aggregate",
    "AppliesMethod",
    "Decider",
    "Pending",
    "applies",
    "applies_methods",
    "state_of",
    "stream_id",
]
