"""Writes snapshots in the background: bounded, and nobody waits for it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final

SNAPSHOTS_WAITING_MAX: Final = 1000
"""How many streams may wait for their snapshot; of others the next load asks again."""

_log = logging.getLogger("headwater")


class SnapshotWriter:
    """Takes snapshots one after another, in a task that ends when none waits."""

    def __init__(self) -> None:
        self._waiting: dict[str, Callable[[], Awaitable[None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def offer(self, stream_id: str, take: Callable[[], Awaitable[None]]) -> bool:
        """Call *take* soon, unless one for *stream_id* waits already or too many do.

        Whether it will be called is returned. What it raises is logged and goes no further.
        """
        if stream_id in self._waiting or len(self._waiting) >= SNAPSHOTS_WAITING_MAX:
            return False
        loop = asyncio.get_running_loop()
        if self._task is not None and self._task.get_loop() is not loop:
            # The loop that it worked in is closed; what waited there is asked for again.
            self._waiting.clear()
            self._task = None
        self._waiting[stream_id] = take
        if self._task is None or self._task.done():
            # Without the message that is handled here: its deadline and unit are not ours.
            self._task = asyncio.create_task(
                self._work(), name="headwater snapshots", context=Context()
            )
        return True

    async def drain(self, *, seconds: float | None = None) -> None:
        """Return when none waits, or after *seconds*: what still waits then is dropped."""
        if self._task is None or self._task.get_loop() is not asyncio.get_running_loop():
            return
        _, late = await asyncio.wait((self._task,), timeout=seconds)
        if late:
            dropped = len(self._waiting)
            self._task.cancel()
            await asyncio.wait((self._task,))
            _log.info("%d snapshots were not written in time; later loads ask again", dropped)

    async def _work(self) -> None:
        try:
            while self._waiting:
                # The commands whose loads asked for it go first.
                await asyncio.sleep(0)
                stream_id, take = next(iter(self._waiting.items()))
                try:
                    await take()
                except Exception as error:  # noqa: BLE001 - nobody needs a snapshot
                    _log.warning("No snapshot of %r was written", stream_id, exc_info=error)
                del self._waiting[stream_id]
        finally:
            self._waiting.clear()
