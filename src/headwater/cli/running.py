"""Runs a command's work: a storage opened and closed around it, errors turned into exit codes."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import typer

from headwater.app.storages import file_of, storage_of
from headwater.cli.loading import LoadedApp, load_app
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.clock import SystemClock
from headwater.errors import ConfigurationError
from headwater.ports.storage import Storage

Work = Callable[[Output, "Place"], Awaitable[ExitCode | None]]


def perform(
    context: typer.Context,
    work: Work,
    *,
    url: str | None,
    app: str | None = None,
    interrupted: ExitCode | None = None,
) -> None:
    """Run *work* to its end and exit with the code it returns, or that of its error.

    It works on the storage at *url*, or that of *app*. *interrupted* is the code for Ctrl-C,
    where that is a way to end.
    """
    output = context.find_object(Output) or Output(as_json=False)
    try:
        code = asyncio.run(_awaited(work(output, Place(url, app)))) or ExitCode.OK
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED if interrupted is None else interrupted
    except BrokenPipeError:
        # Whoever reads has enough. Python would flush into the closed pipe once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.OK
    except Exception as error:  # noqa: BLE001 - the end of the program: told, and its exit code
        code = output.error(error)
    raise typer.Exit(int(code))


async def _awaited(work: Awaitable[ExitCode | None]) -> ExitCode | None:
    return await work


class Place:
    """Where a command works: a storage by URL, that of an app, or both for types and storage."""

    def __init__(self, url: str | None, app: str | None) -> None:
        """Load the app, if one is named.

        Raises:
            ConfigurationError: neither is given, or the app can't be loaded.
        """
        if url is None and app is None:
            raise ConfigurationError(
                "Name the storage: --storage sqlite:///shop.db, or HEADWATER_STORAGE; or the app "
                "whose storage it is: --app shop.main:app."
            )
        self.url = url
        self.app: LoadedApp | None = load_app(app) if app is not None else None

    @property
    def named_url(self) -> str:
        """The URL of the storage.

        Raises:
            ConfigurationError: an app is named, and no URL.
        """
        if self.url is None:
            raise ConfigurationError("Name the storage by its URL: --storage postgresql://….")
        return self.url

    @asynccontextmanager
    async def opened(self, *, new: bool = False) -> AsyncGenerator[Storage]:
        """Open the storage for as long as the block lasts; only *new* ones may be made.

        Personal data comes as it is stored, encrypted.

        Raises:
            ConfigurationError: it is a file that does not exist.
            StorageError: it can't be used.
        """
        storage = await asyncio.to_thread(self._storage, new=new)
        await storage.open()
        try:
            yield storage
        finally:
            await storage.close()

    @asynccontextmanager
    async def opened_to_read(self) -> AsyncGenerator[Storage]:
        """As `opened`, with personal data in the clear for an app that has the keys."""
        keys = self.app.catalogue.personal_data if self.app is not None else None
        async with self.opened() as storage:
            if keys is None:
                yield storage
                return
            await keys.open(beside=(storage,))
            try:
                yield keys.around(storage)
            finally:
                await keys.close()

    def named_storage(self, *, new: bool = False) -> Storage | None:
        """Return the storage that is named by its URL, None if none is.

        Raises:
            ConfigurationError: it is a file that does not exist, and not to be made *new*.
        """
        if self.url is None:
            return None
        file = file_of(self.url)
        if file is not None and not new and not file.exists():
            raise ConfigurationError(f"There is no file {file}.")
        return storage_of(self.url, clock=SystemClock())

    def _storage(self, *, new: bool) -> Storage:
        named = self.named_storage(new=new)
        if named is not None:
            return named
        if self.app is None:
            raise ConfigurationError("No storage is named.")
        return self.app.storage
