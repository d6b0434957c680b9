"""Tells a cancellation that somebody asked for from one that user code let slip."""

import asyncio


def cancelled_from_outside() -> bool:
    """Return whether somebody has cancelled the current task.

    A `CancelledError` without that came out of something that was awaited, such as a task that
    was cancelled elsewhere, and is a failure like any other.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
