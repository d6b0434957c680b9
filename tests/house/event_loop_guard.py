"""A guard against blocking: what the library calls on an event loop must not wait."""

from collections.abc import Generator
from contextlib import contextmanager
from unittest import mock

import blockbuster.blockbuster
from blockbuster import BlockBuster, BlockBusterFunction, BlockingError

import headwater.testing

# What BlockBuster leaves out and the library could reach for.
ALSO_BLOCKING = (
    "builtins.open",
    "io.open",
    "os.fdatasync",
    "os.fsync",
    "os.open",
    "socket.getaddrinfo",
    "sqlite3.Connection.close",
    "sqlite3.connect",
    "threading.Thread.join",
)


class EventLoopGuard:
    """Makes blocking calls of the library on an event loop fail, and remembers them.

    The library is ``headwater`` without ``headwater.testing``; a test may block. What was
    blocked is remembered because the error alone can be lost: a delivery that catches it
    would turn it into a retry.
    """

    def __init__(self) -> None:
        self.blocked: list[str] = []
        library, tests = ["headwater"], [headwater.testing]
        self._blockbuster = BlockBuster(library, excluded_modules=tests)
        self._blockbuster.functions |= {
            name: BlockBusterFunction(None, name, scanned_modules=library, excluded_modules=tests)
            for name in ALSO_BLOCKING
        }
        # Whether a log record goes to a file, a terminal or nowhere is the application's choice.
        for function in self._blockbuster.functions.values():
            function.can_block_in("logging/__init__.py", {"callHandlers"})

    @contextmanager
    def watch(self) -> Generator[None, None, None]:
        """Watch everything that runs inside the ``with`` block, whatever its thread."""
        blocked = self.blocked

        class RememberedBlockingError(BlockingError):
            def __init__(self, function: str) -> None:
                super().__init__(function)
                blocked.append(str(self))

        with mock.patch.object(blockbuster.blockbuster, "BlockingError", RememberedBlockingError):
            self._blockbuster.activate()
            try:
                yield
            finally:
                self._blockbuster.deactivate()
