"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from typing import Final

BAR_WIDTH: Final = 40
BAR_SECONDS: Final = 0.1
LINE_SECONDS: Final = 5.0


class Progress:
    """Shows how far one stage is; `total` is 0 where nobody knows."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._bar = sys.stderr.isatty()
        self._shown_at = time.monotonic()
        self._begun_at = self._shown_at
        self._done = 0

    def step(self) -> None:
        """Count one more."""
        self.reach(self._done + 1)

    def reach(self, done: int, total: int | None = None) -> None:
        """Be at *done*; show it, if the last time is long enough ago."""
        self._done = done
        self._total = self._total if total is None else total
        now = time.monotonic()
        if now - self._shown_at >= (BAR_SECONDS if self._bar else LINE_SECONDS):
            self._shown_at = now
            self._show(end="" if self._bar else "\n")

    def finish(self) -> None:
        """Show the end of the stage."""
        self._show(end="\n")

    def clear(self) -> None:
        """Make room for a line of something else."""
        if self._bar:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _show(self, *, end: str) -> None:
        seconds = time.monotonic() - self._begun_at
        count = f"{self._done:,} of {self._total:,}" if self._total else f"{self._done:,}"
        text = f"{self._label}: {count}, {seconds:.1f} s"
        if self._bar and self._total:
            filled = min(BAR_WIDTH, BAR_WIDTH * self._done // self._total)
            text = f"{self._label:<20} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {count}"
        start = "\r\033[K" if self._bar else ""
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)
