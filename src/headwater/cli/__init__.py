"""The command line: ``headwater [--json] COMMAND …``. It needs the extra ``cli``."""

import sys

MISSING = (
    "The command line needs typer and rich, and {missing!r} is not installed. "
    "Install them with: pip install 'headwater[cli]'"
)


def main() -> None:
    """Run the command that the arguments of the process name, and exit with its code."""
    try:
        # Only now, so that the message comes and no traceback where they are missing.
        from headwater.cli.program import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write(MISSING.format(missing=error.name) + "\n")
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
