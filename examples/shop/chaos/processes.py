"""Worker processes of the demo: started, killed, and ended with it."""

import asyncio
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Final

from examples.shop.chaos.worker import AT_WORK

ROOT: Final = Path(__file__).parents[3]
START_SECONDS_MAX: Final = 60.0
END_SECONDS_MAX: Final = 30.0
SAID_CHARS_MAX: Final = 4000


class WorkerDiedError(Exception):
    """A worker ended that nobody has killed."""


class Worker:
    """One worker of the shop on *storage*, as a process of its own, while the block lasts."""

    def __init__(self, storage: str, port: int, log: Path) -> None:
        """Let it send mail to *port*, and write what it logs to *log*."""
        self._storage, self._port, self._log = storage, port, log
        self._process: asyncio.subprocess.Process | None = None
        self._ending = False

    async def start(self) -> None:
        """Return when it is at work.

        Raises:
            WorkerDiedError: it ended instead.
        """
        arguments = ("--storage", self._storage, "--port", str(self._port))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "examples.shop.chaos.worker", *arguments),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS_MAX):
            line = await self._process.stdout.readline()
        if line.decode().strip() != AT_WORK:
            await self._process.wait()
            self.check()

    @property
    def pid(self) -> int:
        """Its process's id."""
        return self._process.pid if self._process is not None else 0

    def check(self) -> None:
        """Pass if it runs, or was told to end.

        Raises:
            WorkerDiedError: it has died.
        """
        if self._ending or self._process is None or self._process.returncode is None:
            return
        said = self._log.read_text(errors="replace")[-SAID_CHARS_MAX:]
        raise WorkerDiedError(f"A worker ended with {self._process.returncode}. It said:\n{said}")

    async def kill(self) -> None:
        """End it as a crash does: it can finish nothing (SIGKILL)."""
        self._ending = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def end(self) -> None:
        """Have it finish what it has in hand, and end (SIGTERM)."""
        self._ending = True
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), END_SECONDS_MAX)
            except TimeoutError:
                await self.kill()

    async def __aenter__(self) -> "Worker":
        try:
            await self.start()
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await (self.end() if error is None else self.kill())
