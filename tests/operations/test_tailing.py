"""The last events are found also where they are rare, far back or erased."""

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.operations import tailing
from headwater.operations.tailing import last_events
from headwater.ports.changes import StreamAction
from headwater.ports.log import EVERYTHING, LogFilter
from headwater.testing.conformance.builders import new_events
from tests.operations.logs import appended, changed


@pytest.mark.parametrize("look_back", [1, 3, 500])
async def test_the_last_events_are_found_however_far_back(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch, look_back: int
) -> None:
    monkeypatch.setattr(tailing, "LOOK_BACK_POSITIONS", look_back)
    await appended(storage, "rare-1", *new_events(3))
    await appended(storage, "order-1", *new_events(40))
    await appended(storage, "order-2", *new_events(20))
    await changed(storage, "order-2", StreamAction.TOMBSTONE)
    rare = LogFilter(categories=frozenset({"rare"}))

    last = await last_events(storage, where=EVERYTHING, limit=2)
    seldom = await last_events(storage, where=rare, limit=2)
    all_there_are = await last_events(storage, where=rare, limit=9)

    assert [event.position for event in last] == [42, 43]
    assert [event.position for event in seldom] == [2, 3]
    assert [event.position for event in all_there_are] == [1, 2, 3]
