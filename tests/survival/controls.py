"""Switches that take one protection out of this process, to show that the checker misses it."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from unittest import mock

from headwater.ports.changes import CheckpointMove
from headwater.subscriptions import reader
from headwater.subscriptions.session import Session
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units


def _no_receipts() -> None:
    """A command that comes again is handled again."""

    async def unknown(_units: Units, _once: Any) -> None:
        return None

    def not_kept(_unit: UnitOfWork, _receipt: Any) -> None:
        """Keep nothing."""

    mock.patch.object(Units, "_known", unknown).start()
    mock.patch.object(UnitOfWork, "add_receipt", not_kept).start()


def _no_tokens() -> None:
    """Checkpoints are moved by whoever knows where they stand."""

    def without_token(
        name: str, partition: int, expected: int, to: int, event_id: bytes | None, _token: int
    ) -> CheckpointMove:
        return CheckpointMove(name, partition, expected, to, event_id)

    made_in = "headwater.subscriptions.subscription.CheckpointMove"
    mock.patch(made_in, without_token).start()


def _no_skip() -> None:
    """A partition gets again what it has behind it, if another has not."""
    mock.patch.object(reader, "is_behind", return_value=False).start()


def _no_idle_moves() -> None:
    """No protection: partitions stay where their last event was, so that a control has time."""

    async def not_stored(_session: Session) -> None:
        """Store nothing."""

    mock.patch.object(Session, "_store_idle", not_stored).start()


CONTROLS: Final[Mapping[str, Callable[[], None]]] = {
    "receipt": _no_receipts,
    "token": _no_tokens,
    "skip": _no_skip,
    "idle moves": _no_idle_moves,
}


def switch_off(what: str) -> None:
    """Take the protection called *what* out, until the process ends."""
    CONTROLS[what]()
