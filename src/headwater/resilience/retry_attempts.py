"""Attempts: a block that is tried again, because a loop stands around it."""

from types import TracebackType
from typing import TYPE_CHECKING, Final

from headwater.errors import ConfigurationError
from headwater.resilience.attempts import attempt_number

if TYPE_CHECKING:
    from headwater.resilience.retry import Retry

BLOCK: Final = "a block"
"""How log lines call what has no name."""


class Attempts:
    """The attempts of one loop, as many as needed; see `Retry.__aiter__`."""

    def __init__(self, retry: "Retry") -> None:
        self._retry = retry
        self._started = 0.0
        self._last: Attempt | None = None

    def __aiter__(self) -> "Attempts":
        return self

    async def __anext__(self) -> "Attempt":
        """Wait if an attempt has failed; return the next.

        Raises:
            ConfigurationError: the last one was not entered with ``async with``.
        """
        number = 1
        if self._last is None:
            self._started = self._retry.started()
        else:
            delay = self._last.delay
            if not self._last.entered:
                raise ConfigurationError(
                    "The last attempt was not entered, so nobody knows how it went. Write "
                    "'async for attempt in Retry(): async with attempt: …'."
                )
            if delay is None:
                raise StopAsyncIteration
            number = self._last.number + 1
            await self._retry.clock.sleep(delay)
        self._last = Attempt(self._retry, number, self._started)
        return self._last


class Attempt:
    """One attempt; `number` is 1 for the first."""

    def __init__(self, retry: "Retry", number: int, started: float) -> None:
        self.number: Final = number
        self.entered = False
        self.delay: float | None = None
        self._retry, self._started, self._outer = retry, started, 1

    async def __aenter__(self) -> "Attempt":
        self.entered = True
        self._outer = attempt_number.get()
        attempt_number.set(self.number)
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Return whether the block is to be tried again, so that its error ends here."""
        attempt_number.set(self._outer)
        if isinstance(error, Exception):
            self.delay = self._retry.delay_after(
                error, self.number, started=self._started, what=BLOCK
            )
        elif error is None and self.number > 1:
            self._retry.note_success(BLOCK, self.number)
        return self.delay is not None
