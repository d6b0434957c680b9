"""Ending: how long one who stops waits for what does not end by itself."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

CUT_OFF_SECONDS: Final = 1.0
"""How long what was cut off has to end. A thread can't be cut off: it is left behind then."""

LEAVE_SECONDS: Final = 1.0
"""How long a storage has to hear that leases are given up. They run out by themselves, too."""


async def cut_off(task: asyncio.Task[Any]) -> bool:
    """Cancel *task*, return whether it has ended within `CUT_OFF_SECONDS`."""
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=CUT_OFF_SECONDS)
    return bool(done)


async def within_reason(leaving: Coroutine[Any, Any, None]) -> bool:
    """Have *leaving* done; return whether it was, within `LEAVE_SECONDS`; else it is cancelled.

    It is not waited for longer than that, though it does not heed its cancellation.
    """
    task = asyncio.ensure_future(leaving)
    done, _ = await asyncio.wait((task,), timeout=LEAVE_SECONDS)
    if not done:
        task.cancel()
    return bool(done)
