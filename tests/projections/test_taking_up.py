"""A process takes up a generation that was begun elsewhere, though the storage fails meanwhile."""

import pytest

from headwater.errors import StorageUnavailableError
from headwater.subscriptions.leasing import Leasing
from headwater.subscriptions.runner import Runner
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
