"""Switches that take one protection out of this process, to show that the checker misses it."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from unittest import mock

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


CONTROLS: Final[Mapping[str, Callable[[], None]]] = {"receipt": _no_receipts}


def switch_off(what: str) -> None:
    """Take the protection called *what* out, until the process ends."""
    CONTROLS[what]()
