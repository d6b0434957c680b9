"""For the tests of programs that use Headwater: a whole app, scenarios, and fakes.

The suites that adapters must pass stand in `headwater.testing.conformance`; they need pytest.
"""

from headwater.clock import ManualClock
from headwater.testing.app import AppFactory, TestApp
from headwater.testing.fakes import RecordingPublisher, RecordingSender
from headwater.testing.projections import recorded
from headwater.testing.recorder import Recorder
from headwater.testing.scenarios import given, given_nothing
from headwater.testing.upcasting import upcast

__all__ = [
    "AppFactory",
    "ManualClock",
    "Recorder",
    "RecordingPublisher",
    "RecordingSender",
    "TestApp",
    "given",
    "given_nothing",
    "recorded",
    "upcast",
]
