"""A process takes up a generation that was begun elsewhere, though the storage fails meanwhile."""

import pytest

from headwater.errors import StorageUnavailableError
from headwater.subscriptions.leasing import Leasing
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.status import SubscriptionState
from tests.projections.conftest import OpenStorage
from tests.projections.tallies import Tallies, app_of, count, counts


@pytest.mark.parametrize("owner", [Runner, Leasing])
async def test_a_generation_that_could_not_be_taken_up_is_taken_up_later(
    opened: OpenStorage, owner: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[object] = []
    open_it = owner.open  # type: ignore[attr-defined]

    async def fail_once(self: object, *names: object) -> None:
        if not failed:
            failed.append(self)
            raise StorageUnavailableError("the database is away for a moment")
        await open_it(self, *names)

    async with app_of(Tallies, await opened()) as app:
        await app.wait_for(Tallies, await count(app, "a", "b"))
        monkeypatch.setattr(owner, "open", fail_once)

        await app.projections.rebuild(Tallies)
        await app.projections.wait(Tallies, timeout=20)
        await app.projections.switch(Tallies)

        assert failed
        assert await counts(app) == {"a": 1, "b": 1}


async def test_a_generation_that_another_process_began_is_worked_without_it(
    opened: OpenStorage,
) -> None:
    async with app_of(Tallies, await opened()) as other:
        await other.wait_for(Tallies, await count(other, "a"))
        async with app_of(Tallies, await opened()) as one:
            begun = await one.projections.rebuild(Tallies)
        position = await count(other, "a", "b")

        await other.projections.wait(Tallies, timeout=20)
        await other.projections.switch(Tallies)
        await other.wait_for(Tallies, position)

        assert all(status.state is not SubscriptionState.FAILED for status in other.status())
        assert begun.number == 2
        assert await counts(other) == {"a": 2, "b": 1}
