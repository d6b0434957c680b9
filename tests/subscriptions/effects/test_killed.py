"""A worker that is killed around an effect outside: it is found out, and happens once."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from headwater.clock import SystemClock
from tests.subscriptions.effects.paying import Outside, paying


@pytest.mark.parametrize(
    ("fail_point", "happened", "asked"),
    [
        ("batch-taken", 0, 0),
        ("effect-reserved", 0, 1),
        ("effect-done", 1, 1),
        ("batch-worked", 1, 0),
    ],
)
async def test_an_effect_happens_once_wherever_its_worker_was_killed(
    tmp_path: Path, fail_point: str, happened: int, asked: int
) -> None:
    outside = Outside(tmp_path / "till")
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.subscriptions.effects.paying",
        str(tmp_path),
        fail_point,
        cwd=Path(__file__).parents[3],
    )
    assert await worker.wait() == -signal.SIGKILL
    assert len(outside.payments) == happened

    async with paying(tmp_path, outside, clock=SystemClock()) as app:
        await app.settle()

    assert len(outside.payments) == 1
    assert len(outside.asked) == asked
