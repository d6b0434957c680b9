"""What workers say of subscriptions that they can't work as they should, for all to read.

What goes well is seen from leases and checkpoints; why something does not, only its worker knows.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from headwater.ports.changes import RowChange
from headwater.ports.rows import (
    ROWS_MAX,
    CollectionSpec,
    Comparison,
    Condition,
    IndexedField,
    IndexKind,
    RowQuery,
)
from headwater.ports.storage import Storage


class WorkerReport(msgspec.Struct, frozen=True):
    """What *worker* said of *subscription* at a time (microseconds since 1970 UTC).

    `state` is the value of a `SubscriptionState`; `failed_at` the position at which it stopped.
    """

    subscription: str
    worker: str
    state: str
    problem: str
    at: int
    failed_at: int | None = None


REPORTS: Final = CollectionSpec(
    "headwater_worker_reports",
    WorkerReport.__struct_fields__,
    (IndexedField("subscription", IndexKind.TEXT),),
)
"""The collection of all of them; a worker has one of a subscription at most."""


def report_row(report: WorkerReport) -> RowChange:
    """Return the change that writes *report*."""
    return RowChange(
        REPORTS.name,
        _key(report.subscription, report.worker),
        msgspec.json.encode(report).decode(),
        (report.subscription,),
    )


def report_gone(subscription: str, worker: str) -> RowChange:
    """Return the change that deletes what *worker* said of *subscription*."""
    return RowChange(REPORTS.name, _key(subscription, worker), None)


async def reports_on(storage: Storage, subscription: str) -> Sequence[WorkerReport]:
    """Return what was said of *subscription* in *storage*, the last first; at most `ROWS_MAX`.

    What newer code has written otherwise is left out.
    """
    if all(spec.name != REPORTS.name for spec in await storage.collections()):
        return ()
    await storage.prepare_collections([REPORTS])
    of_it = Condition("subscription", Comparison.EQUAL, subscription)
    found: list[WorkerReport] = []
    for row in await storage.find_rows(REPORTS.name, RowQuery((of_it,), limit=ROWS_MAX)):
        try:
            found.append(_decode(row.data))
        except msgspec.MsgspecError:
            continue
    return sorted(found, key=lambda report: report.at, reverse=True)


def _key(subscription: str, worker: str) -> str:
    return f"{subscription} {worker}"


_decode: Final = msgspec.json.Decoder(WorkerReport).decode
