"""A table of comparisons: ours, the other, their ratio, and what it should be at least."""

import statistics
from typing import Any


class Table:
    """Prints each comparison and keeps it for the JSON."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        print(f"{'':44}{'ours/s':>10}{'other/s':>10}{'ratio':>8}{'at least':>10}")

    def add(self, name: str, ours: list[float], other: list[float], least: float) -> None:
        our, their = statistics.median(ours), statistics.median(other)
        ratio = our / their
        self.lines.append(
            {"name": name, "ours": our, "other": their, "ratio": ratio, "least": least}
        )
        verdict = "" if ratio >= least else "  missed"
        print(f"{name:44}{our:>10,.0f}{their:>10,.0f}{ratio:>8.2f}{least:>10}{verdict}", flush=True)
