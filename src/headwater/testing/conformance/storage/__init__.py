"""The promises of `headwater.ports.storage`, with those of the ports that it is made of."""

from headwater.testing.conformance.administration import AdministrationConformance
from headwater.testing.conformance.changes import ChangesConformance
from headwater.testing.conformance.leases import LeasesConformance
from headwater.testing.conformance.limits import LimitsConformance
from headwater.testing.conformance.log import LogConformance
from headwater.testing.conformance.restoration import RestorationConformance
from headwater.testing.conformance.rows import RowsConformance
from headwater.testing.conformance.storage.batches import BatchesConformance
from headwater.testing.conformance.storage.cancellation import CancellationConformance
from headwater.testing.conformance.storage.lifecycle import LifecycleConformance
from headwater.testing.conformance.storage.races import RacesConformance
from headwater.testing.conformance.storage.shared import SharedConformance

__all__ = ["SharedConformance", "StorageConformance"]


class StorageConformance(
    LifecycleConformance,
    BatchesConformance,
    CancellationConformance,
    RacesConformance,
    ChangesConformance,
    LogConformance,
    RowsConformance,
    LimitsConformance,
    LeasesConformance,
    AdministrationConformance,
    RestorationConformance,
):
    """Everything that a storage promises."""
