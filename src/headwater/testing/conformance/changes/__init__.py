"""The promises of `headwater.ports.changes`: what one `Changes` does, whole or not at all."""

from headwater.testing.conformance.changes.appends import AppendsConformance
from headwater.testing.conformance.changes.atomicity import AtomicityConformance
from headwater.testing.conformance.changes.conditions import ConditionsConformance
from headwater.testing.conformance.changes.erasure import ErasureConformance
from headwater.testing.conformance.changes.progress import ProgressConformance
from headwater.testing.conformance.changes.repeats import RepeatsConformance
from headwater.testing.conformance.changes.streams import StreamChangesConformance


class ChangesConformance(
    AppendsConformance,
    RepeatsConformance,
    ConditionsConformance,
    StreamChangesConformance,
    ErasureConformance,
    ProgressConformance,
    AtomicityConformance,
):
    """What `Storage.commit` does with each part of a `Changes`."""
