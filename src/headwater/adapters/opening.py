"""Whether a storage is open, and where: in one event loop of one process at a time."""

import asyncio
import os
from typing import Final, Generic, Protocol, TypeVar

from headwater.errors import ConfigurationError, ForkedProcessError, StorageClosedError

CLOSED: Final = "The storage is not open, or was closed meanwhile: nothing was done."

_Collection = TypeVar("_Collection")


class Workers(Protocol):
    """What an open storage has at work."""

    loop: asyncio.AbstractEventLoop
    process: int

    def abandon(self) -> None:
        """Let go of everything where the event loop was closed and nobody can wait for it."""
        ...

    def wrong_loop(self) -> ConfigurationError:
        """Return the error for whoever comes from another event loop."""
        ...


_Workers = TypeVar("_Workers", bound=Workers)


class Opening(Generic[_Workers, _Collection]):
    """The part of a storage that knows whether it is open, and which collections it has."""

    def __init__(self) -> None:
        """Begin closed."""
        self._open: _Workers | None = None
        self._collections: Final[dict[str, _Collection]] = {}
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    def _opened(self) -> _Workers:
        opened = self._open
        if opened is None:
            raise StorageClosedError(CLOSED)
        self._check_process()
        if opened.loop is not asyncio.get_running_loop():
            raise opened.wrong_loop()
        return opened

    def _mine(self) -> _Workers | None:
        """Return the workers if they are of this event loop; those of a closed one are let go.

        Raises:
            ConfigurationError: they are of another, which was not closed.
        """
        opened = self._open
        if opened is not None and opened.loop is not asyncio.get_running_loop():
            if not opened.loop.is_closed():
                raise opened.wrong_loop()
            opened.abandon()
            self._open = None
        return self._open

    def _where(self) -> str:
        """Return what names the storage, without its secrets."""
        raise NotImplementedError

    def _check_process(self) -> None:
        if self._open is not None and self._open.process != os.getpid():
            where = self._where()
            raise ForkedProcessError(
                f"{where}: the storage was opened in process {self._open.process} and this one, "
                f"{os.getpid()}, was forked from it. Connections don't survive a fork; make a new "
                f"{type(self).__name__} here.",
                where=where,
            )

    def _collection(self, name: str) -> _Collection:
        collection = self._collections.get(name)
        if collection is None:
            raise ConfigurationError(
                f"The collection {name!r} was not prepared; call prepare_collections first."
            )
        return collection

    def _one_at_a_time(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn[0] is not loop:
            self._turn = loop, asyncio.Lock()
        return self._turn[1]
