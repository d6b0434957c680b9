"""A process that works a projection on a storage, and dies where it is told to.

    python -m tests.projections.worker_process URL work
    python -m tests.projections.worker_process URL rebuild FAIL_POINT COUNT
    python -m tests.projections.worker_process URL switch STEP

`rebuild` begins a rebuild and kills itself when it has reached FAIL_POINT COUNT times; `switch`
kills itself at STEP of a switch: before the comparison, before the flip, after it.
"""

import asyncio
import os
import signal
import sys
from typing import Any

from headwater.operations.projections import meeting, procedures, switching
from headwater.subscriptions import fail_points
from tests.projections.tallies import Tallies, app_of


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point: str, count: int) -> None:
    left = count

    def strike(name: str) -> None:
        nonlocal left
        left -= name == point
        if left == 0:
            die()

    fail_points.strike = strike


def die_in_switch(step: str) -> None:
    async def compare(*given: Any, **options: Any) -> Any:
        if step == "compare":
            die()
        return await meeting.compare(*given, **options)

    async def flip(*given: Any, **options: Any) -> Any:
        if step == "flip":
            die()
        flipped = await switching.flip(*given, **options)
        die()
        return flipped

    setattr(procedures, "compare", compare)  # noqa: B010 - a name of another module
    setattr(procedures, "flip", flip)  # noqa: B010


async def main(url: str, what: str, *details: str) -> None:
    async with app_of(Tallies, url) as app:
        print("ready", flush=True)
        if what == "rebuild":
            point, count = details
            die_at(point, int(count))
            await app.projections.rebuild(Tallies)
        elif what == "switch":
            die_in_switch(details[0])
            await app.projections.switch(Tallies)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
