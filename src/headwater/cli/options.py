"""Options that several commands take."""

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

NUMBER_MAX: Final = 2**63 - 1
"""The highest position or version that a storage can hold."""

Url: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--storage",
        "-s",
        metavar="URL",
        envvar="HEADWATER_STORAGE",
        help="The storage: sqlite:///shop.db, postgresql://….",
        show_default=False,
    ),
]
UrlArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="[URL]", help="The storage, in place of --storage.", show_default=False),
]
AppName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:NAME",
        help="An app, for its types and, unless --storage is given, its storage: shop.main:app.",
        show_default=False,
    ),
]


def named(context: typer.Context, url: str | None, storage: str | None) -> str | None:
    """Return the URL given as an argument, else that of --storage or of the environment.

    Raises:
        typer.BadParameter: the command line has both.
    """
    source = context.get_parameter_source("storage")
    if url is not None and source is not None and source.name == "COMMANDLINE":
        raise typer.BadParameter("The storage is named twice: as an argument, and by --storage.")
    return storage if url is None else url


StreamId: TypeAlias = Annotated[str, typer.Argument(metavar="STREAM", show_default=False)]
ExportPath: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
Internal: TypeAlias = Annotated[
    bool, typer.Option("--internal", help="Also streams whose names start with $.")
]
