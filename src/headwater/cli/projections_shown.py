"""How commands show generations of projections, and differences between their rows."""

from typing import Any, Final

from headwater.cli.output import Output
from headwater.clock import from_microseconds
from headwater.operations.projections.comparing import RowDifferences
from headwater.operations.projections.watching import GenerationStatus

GENERATION_COLUMNS: Final = (
    "projection",
    "generation",
    "version",
    "state",
    "position",
    "lag",
    "workers",
    "held",
    "rows_in",
    "waits",
)


def shown_generation(one: GenerationStatus) -> dict[str, Any]:
    """Return one row for a generation."""
    return {
        "projection": one.projection,
        "generation": one.number,
        "version": one.version,
        "state": f"{one.state.value}, inline" if one.inline else one.state.value,
        "position": one.position,
        "head": one.head,
        "lag": one.lag,
        "partitions": one.partitions,
        "workers": one.workers,
        "held": one.held,
        "rows_in": one.collection,
        "subscription": one.subscription,
        "begun_at": from_microseconds(one.begun_at).isoformat(),
        "waits": one.waits,
    }


def shown_difference(found: RowDifferences | None) -> dict[str, Any]:
    """Return how many rows are the same and differ; empty, if nothing was compared."""
    if found is None:
        return {}
    return {
        "same": found.same,
        "changed": found.changed,
        "missing": found.missing,
        "added": found.added,
    }


def tell_differences(output: Output, found: RowDifferences | None) -> None:
    """Say on stderr how rows differ, with samples."""
    if found is None:
        output.say("Nothing was compared.")
        return
    output.say(
        f"{found.same} rows are the same, {found.changed} changed, {found.missing} missing in the "
        f"new ones, {found.added} only in them."
    )
    for sample in found.changed_samples:
        changes = ", ".join(
            f"{name}: {before!r} → {after!r}" for name, (before, after) in sample.fields.items()
        )
        output.say(f"  changed {sample.key}: {changes}")
    for what, keys in (("missing", found.missing_samples), ("only new", found.added_samples)):
        for key in keys:
            output.say(f"  {what} {key}")
