"""The fingerprint of a projection's code: changed code without a new version is noticed by it."""

import sys

from headwater.projections.projection import Folds
from headwater.serialization.codec import EventCodec
from headwater.unit_of_work.fold_digest import fold_digest


def fingerprint(folds: Folds, codec: EventCodec) -> str:
    """Return a digest of what computes the rows: methods, keys, and the forms of events and rows.

    It is that of one version of Python, which it names: another compiles the same code otherwise.
    """
    functions = [part for fold in folds.folds for part in (fold.function, fold.key)]
    digest = fold_digest(folds.model, None, events=folds.events, functions=functions, codec=codec)
    return f"{_python()}:{digest}"


def tells_a_change(stored: str, now: str) -> bool:
    """Return whether the code has certainly changed between two fingerprints."""
    return stored != now and stored.partition(":")[0] == now.partition(":")[0]


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
