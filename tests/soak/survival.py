"""Workers that come, die, stand still and go for a long time, on both storages.

    python -m tests.soak.survival --minutes 10 --seed 1 [--only sqlite|postgres]

Each round lasts about a minute: chaos under load, then all is let be done and checked. It prints
one line per round, ends with 1 at the first fault, and then leaves the folder that it names.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks._postgres_server import server_at
from headwater.app.storages import storage_of
from headwater.clock import SystemClock
from tests.survival.chaos import Chaos
from tests.survival.load import Load
from tests.survival.workers import workers

ACCOUNTS: Final = 40
ROUND_SECONDS: Final = 60.0


async def soak(url: str, folder: Path, *, minutes: float, seed: int) -> list[str]:
    """Return what the checker finds wrong after *minutes*, or before, on the storage at *url*."""
    chance = random.Random(seed)
    end = time.monotonic() + 60 * minutes
    storage = storage_of(url, clock=SystemClock())
    await storage.open()
    try:
        with workers(url, folder) as pool:
            load = Load(storage, pool.outside, accounts=ACCOUNTS, seed=seed)
            while time.monotonic() < end:
                chaos = Chaos(load, pool, seed=chance.randrange(1 << 30))
                until = min(end, time.monotonic() + ROUND_SECONDS)
                async with chaos.under_load():
                    while time.monotonic() < until:
                        await chaos.step()
                faults = await chaos.finish()
                print(f"{load.total} moves; {', '.join(chaos.done)}; faults: {faults}", flush=True)
                if faults:
                    return faults
    finally:
        await storage.close()
    return []


def main() -> int:
    """Soak as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="altogether")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("sqlite", "postgres"))
    told = parser.parse_args()
    names = (told.only,) if told.only else ("sqlite", "postgres")
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix="headwater-survival-"))
        with ExitStack() as servers:
            if name == "sqlite":
                url = f"sqlite:///{folder}/log.db?durability=normal"
            else:
                server = servers.enter_context(server_at(None))
                url = f"{server}?sslmode=disable&auto_migrate=true"
            print(f"{name}, seed {told.seed}, in {folder}", flush=True)
            minutes = told.minutes / len(names)
            if asyncio.run(soak(url, folder, minutes=minutes, seed=told.seed)):
                return 1
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
