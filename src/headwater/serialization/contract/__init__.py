"""The contract of all stored and published messages: written down, and compared.

What the command line does with it::

    text = snapshot_text(schema_snapshot(app.catalogue().codec))         # headwater schema snapshot
    findings = schema_diff(read_snapshot(file), schema_snapshot(codec))   # headwater schema diff

Where there are no findings, but the two texts are not equal, the code has changed in a way that
readers tolerate, and the file is to be written anew.
"""

from headwater.serialization.contract.diff import Finding, schema_diff, schema_notes
from headwater.serialization.contract.snapshot import (
    Direction,
    Snapshot,
    read_snapshot,
    schema_snapshot,
    snapshot_text,
)

__all__ = [
    "Direction",
    "Finding",
    "Snapshot",
    "read_snapshot",
    "schema_diff",
    "schema_notes",
    "schema_snapshot",
    "snapshot_text",
]
