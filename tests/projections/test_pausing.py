"""A generation that an operator has paused stays so, whatever becomes of a switch."""

import pytest

from headwater.errors import SwitchError
from headwater.operations.control import pause, read_control, resume
from headwater.operations.projections import procedures
from headwater.operations.projections.generations import Generation
from headwater.operations.projections.meeting import Meeting, meet, part
from headwater.ports.storage import Storage
from tests.projections.generations_by_hand import ROWS, build


async def paused_by(storage: Storage, generation: Generation) -> str:
    control = await read_control(storage, generation.subscription)
    assert control.stop_at is None
    return f"{control.by}: {control.reason}" if control.paused else ""


async def test_a_paused_generation_is_not_met(storage: Storage) -> None:
    live, built = await build(storage, live=True), await build(storage)
    for one in (live, built):
        await pause(storage, one.subscription, by="ann", reason="wrong code")

        with pytest.raises(SwitchError, match=f"generation {one.number} was paused by ann: wrong"):
            await procedures.switch(storage, storage, ROWS.name, now=lambda: 0, by="bob")

        assert await paused_by(storage, one) == "ann: wrong code"
        await resume(storage, one.subscription)


async def test_one_that_stands_where_no_worker_has_its_code_may_be_paused(storage: Storage) -> None:
    live = await build(storage, live=True)
    await build(storage)
    await pause(storage, live.subscription, by="ann")

    done = await procedures.switch(
        storage, storage, ROWS.name, now=lambda: 0, live_stands=True, by="bob"
    )

    assert done.live is not None


async def test_a_pause_while_a_switch_is_decided_on_outlasts_it(storage: Storage) -> None:
    live, built = await build(storage, live=True), await build(storage)
    meeting = await meet(storage, storage, ROWS.name, by="bob")
    await pause(storage, live.subscription, by="ann", reason="wrong code")

    await part(storage, meeting, by="bob")

    assert await paused_by(storage, live) == "ann: wrong code"
    assert await paused_by(storage, built) == ""


async def test_both_go_on_after_a_switch_that_is_not_agreed_to(storage: Storage) -> None:
    live, built = await build(storage, live=True), await build(storage)

    def agreed(_: Meeting) -> bool:
        return False

    await procedures.switch(storage, storage, ROWS.name, now=lambda: 0, agreed=agreed)

    assert await paused_by(storage, live) == await paused_by(storage, built) == ""
