"""Limits of what flows through a subscription, and of how workers share it."""

from typing import Final

import msgspec


class Flow(msgspec.Struct, frozen=True):
    """How much of the log a subscription has in hand at once, in each process.

    `in_flight_events` and `in_flight_bytes` (of stored data) are what was read and is not
    committed, at most; only an event that is larger than the limit comes alone. A batch of one
    partition, and one commit, has at most `batch_events`; it grows as long as batches are done
    within `batch_seconds`, and shrinks if not.
    """

    in_flight_events: int = 8_000
    in_flight_bytes: int = 32 * 1024 * 1024
    batch_events: int = 2_000
    batch_seconds: float = 0.25

    def __post_init__(self) -> None:
        for name in ("in_flight_events", "in_flight_bytes", "batch_events", "batch_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")


DEFAULT_FLOW: Final = Flow()


class Workers(msgspec.Struct, frozen=True):
    """How processes share the partitions of subscriptions.

    A worker that is not heard of for `lease_seconds` has lost what it had. Each says that it is
    alive, and looks what it may work, every `renew_seconds`.
    """

    lease_seconds: float = 10.0
    renew_seconds: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.renew_seconds <= self.lease_seconds / 2:
            raise ValueError(
                f"renew_seconds must be above 0 and at most half of lease_seconds, not "
                f"{self.renew_seconds} of {self.lease_seconds}"
            )


DEFAULT_WORKERS: Final = Workers()
