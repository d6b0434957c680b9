"""One process of a release of the school: does what its standard input says, line by line."""

import asyncio
import json
import sys
from importlib import import_module
from typing import Any

from headwater import App, ExpectedVersion
from headwater.subscriptions.status import SubscriptionState

PUPILS = 7
AT_A_TIME = 5


async def append(app: App, release: Any, first: int, count: int) -> int:
    """Append *count* numbered events beginning with *first*, a few at a time."""
    for begun in range(first, first + count, AT_A_TIME):
        for number in range(begun, min(begun + AT_A_TIME, first + count)):
            pupil = f"p{number % PUPILS}"
            await app.event_store.append(
                f"school.pupil-{pupil}",
                [release.event_of(pupil, number)],
                expected=ExpectedVersion.any(),
            )
        await asyncio.sleep(0)
    return count


async def waiting(app: App, count: int) -> list[str | None]:
    """Return what the subscriptions wait for as soon as *count* of them wait."""
    while True:
        found = [one for one in app.status() if one.state is SubscriptionState.WAITING]
        if len(found) == count:
            return [one.error for one in found]
        await asyncio.sleep(0.01)


async def rows(app: App, release: Any) -> dict[str, list[int]]:
    """Return the numbers that the letters and the pupils hold."""
    found: dict[str, list[int]] = {}
    async with app.event_store.unit_of_work() as unit:
        for model in (release.Letters, release.Pupil):
            kept = await unit.collection(model).find()
            found[model.__name__] = [number for row in kept for number in row.numbers]
    return found


async def answer(app: App, release: Any, command: str, *numbers: int) -> Any:
    match command:
        case "append":
            return await append(app, release, *numbers)
        case "waiting":
            return await waiting(app, *numbers)
        case "settle":
            return await app.settle(timeout=60)
        case "rows":
            return await rows(app, release)
        case _:
            raise ValueError(command)


async def main(name: str, url: str, subscribe: str) -> None:
    release = import_module(f"tests.releases.{name}")
    app = App("school", storage=url, run_subscriptions=subscribe == "subscribe")
    app.include(release.school)
    async with app:
        print(json.dumps("ready"), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            command, *numbers = line.split()
            done = await answer(app, release, command, *map(int, numbers))
            print(json.dumps(done), flush=True)


asyncio.run(main(*sys.argv[1:]))
