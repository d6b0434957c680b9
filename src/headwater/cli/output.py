"""What a command says: results on stdout, everything else on stderr."""

import sys
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec
import typer
from rich.console import Console
from rich.control import strip_control_codes
from rich.table import Table
from rich.text import Text

from headwater.cli.outcome import ExitCode, code_of, masked
from headwater.operations import progress as operations_progress

PLAIN_WIDTH: Final = 200
"""How wide tables may be where no terminal says it."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the program what it means that nobody reads any more."""
        raise BrokenPipeError


class Output:
    """Writes for people, or with *as_json* for programs: one object, or one per line."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        width = None if sys.stdout.isatty() else PLAIN_WIDTH
        self._out = _Console(file=sys.stdout, width=width, highlight=False, markup=False)
        self._err = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)

    # -------------------------------------------------------------------------- results

    def object(self, value: Mapping[str, Any]) -> None:
        """Write a result: an object as JSON, or its parts one below the other."""
        if self.as_json:
            self._line(value)
            return
        width = max(map(len, value), default=0)
        for name, part in value.items():
            self._out.print(f"{name:<{width}}  {shown(part)}", soft_wrap=True)

    def rows(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows: JSON Lines, or a table of *columns*."""
        if self.as_json:
            for row in rows:
                self._line(row)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            numeric = any(isinstance(row.get(column), int) for row in rows)
            table.add_column(
                column.replace("_", " "),
                justify="right" if numeric else "left",
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(Text(shown(row.get(column))) for column in columns))
        self._out.print(table)

    def line(self, row: Mapping[str, Any], text: str) -> None:
        """Write one of many results at once: *row* as JSON, or *text*."""
        if self.as_json:
            self._line(row)
        else:
            self._out.print(strip_control_codes(text), soft_wrap=True)
            sys.stdout.flush()

    def _line(self, value: Mapping[str, Any]) -> None:
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
        sys.stdout.flush()

    # -------------------------------------------------------------------------- messages

    def say(self, text: str) -> None:
        """Write a message to stderr."""
        self._err.print(strip_control_codes(masked(text)))

    def error(self, error: BaseException) -> ExitCode:
        """Say what went wrong, and return the exit code for it."""
        code = code_of(error)
        text = masked(str(error) or type(error).__name__)
        if code is ExitCode.FAILED:
            text = masked("".join(traceback.format_exception(error))).rstrip()
        if self.as_json:
            problem = {"error": type(error).__name__, "message": text, "exit_code": int(code)}
            sys.stderr.write(msgspec.json.encode(problem).decode() + "\n")
        else:
            self._err.print(Text("Error: ", style="bold red") + Text(text))
        return code

    def confirmed(self, question: str, *, yes: bool) -> bool:
        """Return whether the user agrees; without a terminal to ask on, only *yes* does."""
        if yes:
            return True
        if not sys.stdin.isatty():
            self.say(f"{question} Not done: confirm with --yes.")
            return False
        try:
            agreed = typer.confirm(masked(question), err=True)
        except typer.Abort:
            agreed = False
        if not agreed:
            self.say("Not done.")
        return agreed

    @contextmanager
    def progress(self, what: str) -> Generator[operations_progress.Progress, None, None]:
        """Show on stderr how far a long operation has come, if that is a terminal."""
        if not sys.stderr.isatty():
            yield operations_progress.no_progress
            return
        # Most commands show none, and should start at once.
        from headwater.cli.progress_bar import progress_bar  # noqa: PLC0415

        with progress_bar(self._err, what) as show:
            yield show


def shown(value: Any) -> str:
    """Return a value for a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return ", ".join(f"{name}: {shown(part)}" for name, part in pairs)
    return strip_control_codes(str(value))
