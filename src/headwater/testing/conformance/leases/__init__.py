"""The promises of `headwater.ports.leases`: who works what, until when, and under which token."""

from headwater.testing.conformance.leases.dealing import DealingConformance
from headwater.testing.conformance.leases.revoking import RevokingConformance
from headwater.testing.conformance.leases.running_out import RunningOutConformance
from headwater.testing.conformance.leases.tokens import TokensConformance
from headwater.testing.conformance.leases.workers import WorkersConformance


class LeasesConformance(
    DealingConformance,
    WorkersConformance,
    RunningOutConformance,
    TokensConformance,
    RevokingConformance,
):
    """What workers that share subscriptions can rely on."""
