"""For how long a connection that was lost is made anew."""

import asyncio

from headwater.adapters.storage.postgres.connections import ATTEMPT_SECONDS, ATTEMPT_SECONDS_MAX


class Patience:
    """Lasts for some seconds from the first loss on, and for one more try at least."""

    def __init__(self, seconds: float) -> None:
        """Last for *seconds*, which begin with the first `ends`."""
        self._seconds, self._delay = seconds, ATTEMPT_SECONDS
        self._until: float | None = None

    def ends(self) -> bool:
        """Return whether a loss just now is not to be borne any more."""
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self._seconds
            return False
        return now + self._delay > self._until

    async def pause(self) -> None:
        """Wait a while before the next try, longer each time."""
        await asyncio.sleep(self._delay)
        self._delay = min(2 * self._delay, ATTEMPT_SECONDS_MAX)
