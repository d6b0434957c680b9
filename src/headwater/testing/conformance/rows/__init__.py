"""The promises of `headwater.ports.rows`: rows are written guarded, and found by their fields."""

from headwater.testing.conformance.rows.collections import CollectionsConformance
from headwater.testing.conformance.rows.dropping import DroppingConformance
from headwater.testing.conformance.rows.finding import FindingConformance
from headwater.testing.conformance.rows.unique import UniqueConformance
from headwater.testing.conformance.rows.writing import WritingConformance


class RowsConformance(
    WritingConformance,
    UniqueConformance,
    FindingConformance,
    CollectionsConformance,
    DroppingConformance,
):
    """What writers and readers of rows can rely on."""
