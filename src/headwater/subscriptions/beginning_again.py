"""What brings a failed subscription back: whoever writes its control row asks for it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from headwater.errors import HeadwaterError
from headwater.operations.control import read_control
from headwater.ports.storage import Storage
from headwater.subscriptions.detachment import context_of_no_message

LOOK_SECONDS: Final = 1.0
"""How often a worker in which a subscription has failed looks whether it is to begin again."""

_log = logging.getLogger("headwater")


class BeginningAgain:
    """Looks at the control row of a subscription that has failed, and begins when it is written.

    A restart writes it; so do a correction of an event, a resume, and a worker of a release with
    other types. For each time that it was written it begins once.
    """

    def __init__(
        self, subscription: str, target: Storage, begin: Callable[[], Awaitable[None]]
    ) -> None:
        """*begin* begins again, and may call `end`."""
        self._subscription, self._target, self._begin = subscription, target, begin
        self._seen: set[int] = set()
        self._watching: asyncio.Task[None] | None = None

    def watch(self, row_version: int) -> None:
        """Begin when the row has another version than *row_version*, with which it has failed."""
        self.end()
        self._seen.add(row_version)
        self._watching = asyncio.create_task(
            self._watch(),
            name=f"headwater restart of {self._subscription}",
            context=context_of_no_message(),
        )

    def end(self) -> None:
        """Look no more."""
        watching, self._watching = self._watching, None
        if watching is not None and watching is not asyncio.current_task():
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                version = (await read_control(self._target, self._subscription)).row_version
                # Without a row it was dropped: to begin would store it anew.
                if version == 0 or version in self._seen:
                    continue
                self._seen.add(version)
                await self._begin()
            except HeadwaterError as error:
                _log.debug("Subscription %r does not begin again: %s", self._subscription, error)
                continue
            _log.info("Subscription %r begins again, as it was asked to", self._subscription)
            return
