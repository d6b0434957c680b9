"""A generation is dropped: not one that becomes live meanwhile, and what broke off goes on."""

import pytest

from headwater.errors import StorageUnavailableError, SwitchError
from headwater.operations.control import read_control
from headwater.operations.projections import procedures
from headwater.operations.projections.building import drop
from headwater.operations.projections.generations import GenerationState, read_generations
from headwater.operations.projections.meeting import Meeting
from headwater.ports.changes import Changes, Committed
from headwater.ports.storage import Storage
from tests.projections.generations_by_hand import ROWS, Figure, build, switch, units_on


async def test_what_is_switched_to_while_a_drop_begins_is_kept(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build(storage, live=True)
    built = await build(storage)
    commit = storage.commit

    async def switch_first(changes: Changes) -> Committed:
        monkeypatch.setattr(storage, "commit", commit)
        await switch(storage)
        return await commit(changes)

    monkeypatch.setattr(storage, "commit", switch_first)
    with pytest.raises(SwitchError, match="generation 2 is what readers read"):
        await drop(storage, ROWS.name, 2)

    async with units_on(storage).unit_of_work() as unit:
        assert len(await unit.collection(Figure).find(generation=2)) == 10
    assert not (await read_control(storage, built.subscription)).retired
    assert len(await storage.partition_states(built.subscription)) == 2


async def test_what_is_dropped_while_a_switch_is_decided_on_is_not_switched_to(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build(storage, live=True)
    await build(storage)
    commit = storage.commit

    async def drop_first(changes: Changes) -> Committed:
        monkeypatch.setattr(storage, "commit", commit)
        await drop(storage, ROWS.name, 2)
        return await commit(changes)

    def agreed(_: Meeting) -> bool:
        monkeypatch.setattr(storage, "commit", drop_first)
        return True

    with pytest.raises(SwitchError, match="somebody has switched, dropped"):
        await procedures.switch(storage, storage, ROWS.name, now=lambda: 0, agreed=agreed)

    async with units_on(storage).unit_of_work() as unit:
        assert len(await unit.collection(Figure).find(generation=1)) == 10


async def test_a_drop_that_broke_off_hinders_nobody_and_can_be_done_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build(storage, live=True)
    await build(storage)

    async def fail(name: str) -> None:
        raise StorageUnavailableError(name)

    with monkeypatch.context() as failing:
        failing.setattr(storage, "drop_collection", fail)
        with pytest.raises(StorageUnavailableError):
            await drop(storage, ROWS.name, 2)
    found = await read_generations(storage, ROWS.name)
    assert found is not None
    assert [one.state for one in found.generations] == [
        GenerationState.LIVE,
        GenerationState.DROPPING,
    ]
    third = await build(storage)
    assert third.number == 3

    await drop(storage, ROWS.name, 2)
    await switch(storage)

    assert all("__g2" not in spec.name for spec in await storage.collections())
