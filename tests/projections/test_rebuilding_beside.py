"""A projection is built anew beside its live rows, compared with them, and switched to."""

import logging
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.errors import RowConflictError, SubscriptionFailedError, SwitchError
from headwater.operations.projections.generations import GenerationState
from headwater.ports.changes import Changes, RowChange, RowGuard
from headwater.ports.storage import Storage
from tests.projections.tallies import (
    BrokenTallies,
    Counted,
    DoubledTallies,
    Tallies,
    Tally,
    app_of,
    count,
    counts,
    rows,
)

NAMES = ("a", "b", "a", "c", "a")


async def spoil(storage: Storage, *changes: RowChange) -> None:
    """Write rows that no event tells of."""
    await storage.commit(Changes(rows=changes))


async def test_rows_are_built_beside_while_the_live_ones_go_on_and_then_take_their_place(
    storage: Storage,
) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, *NAMES))
        begun = await app.projections.rebuild(Tallies)
        await app.wait_for(Tallies, await count(app, "b", "d"))
        assert await counts(app) == {"a": 3, "b": 2, "c": 1, "d": 1}
        await app.projections.wait(Tallies)

        done = await app.projections.switch(Tallies, by="ada")

        assert done.meeting.differences is not None
        assert done.meeting.differences.equal
        assert done.meeting.differences.same == 4
        assert done.live is not None
        assert (done.live.number, begun.number) == (2, 2)
        await app.wait_for(Tallies, await count(app, "d"))
        assert await counts(app) == {"a": 3, "b": 2, "c": 1, "d": 2}
        states = [(one.number, one.state) for one in await app.projections.status(Tallies)]
        assert states == [(1, GenerationState.OLD), (2, GenerationState.LIVE)]


async def test_the_old_rows_stay_as_they_were_until_they_are_dropped(storage: Storage) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, "a"))
        await app.projections.rebuild(Tallies)
        await app.projections.switch(Tallies)
        await app.wait_for(Tallies, await count(app, "a"))
        assert list(await storage.get_rows("tally_tally", ["a"])) == ["a"]

        await app.projections.drop(Tallies, 1)

        assert "tally_tally" not in {spec.name for spec in await storage.collections()}
        assert [one.name for one in await storage.subscriptions()] == ["tally.tallies@2"]
        assert await counts(app) == {"a": 2}


async def test_differences_are_shown_and_without_agreement_all_goes_on(storage: Storage) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, *NAMES))
        await spoil(
            storage,
            RowChange("tally_tally", "a", '{"name":"a","count":7,"doubled":0}', (7,)),
            RowChange("tally_tally", "b", None),
            RowChange("tally_tally", "x", '{"name":"x","count":1,"doubled":0}', (1,)),
        )
        await app.projections.rebuild(Tallies)

        done = await app.projections.switch(Tallies, agreed=lambda _: False)

        found = done.meeting.differences
        assert done.live is None
        assert found is not None
        assert (found.same, found.changed, found.missing, found.added) == (1, 1, 1, 1)
        assert found.changed_samples[0].fields == {"count": (7, 3)}
        assert (found.missing_samples, found.added_samples) == (("x",), ("b",))
        await app.wait_for(Tallies, await count(app, "c"))
        assert (await counts(app))["c"] == 2
        done = await app.projections.switch(Tallies)
        assert await counts(app) == {"a": 3, "b": 1, "c": 2}


async def test_verify_finds_what_was_corrupted_and_leaves_nothing_behind(storage: Storage) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, *NAMES))
        assert (await app.projections.verify(Tallies)).equal
        await spoil(
            storage, RowChange("tally_tally", "b", '{"name":"b","count":9,"doubled":0}', (9,))
        )

        found = await app.projections.verify(Tallies)

        assert [sample.key for sample in found.changed_samples] == ["b"]
        assert len(await app.projections.status(Tallies)) == 1
        assert {spec.name for spec in await storage.collections() if "tally" in spec.name} == {
            "tally_tally"
        }
        await app.wait_for(Tallies, await count(app, "b"))


async def test_a_raised_version_is_built_beside_and_the_live_rows_stay(storage: Storage) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, *NAMES))

    async with app_of(DoubledTallies, storage) as app:
        assert [row.doubled for row in await rows(app)] == [0, 0, 0]
        await app.projections.wait(DoubledTallies)
        await count(app, "a")
        with pytest.raises(SwitchError, match="has not moved"):
            await app.projections.switch(DoubledTallies, timeout=0.2)
        done = await app.projections.switch(DoubledTallies, live_stands=True)

        assert done.live is not None
        assert done.live.version == 2
        assert [row.doubled for row in await rows(app)] == [8, 2, 2]


async def test_an_old_worker_leaves_newer_rows_alone_and_reads_them(storage: Storage) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, "a"))
    async with app_of(DoubledTallies, storage) as app:
        await app.projections.switch(DoubledTallies, live_stands=True)

    async with app_of(Tallies, storage) as app:
        await count(app, "a")
        assert [(row.count, row.doubled) for row in await rows(app)] == [(1, 2)]
        assert app.status() == ()


async def test_changed_code_without_a_new_version_is_said_at_the_start(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, "a"))
    original = Tallies.counted

    def counted(self: Tallies, event: Counted, row: Tally | None) -> Tally:
        return Tally(event.name, (row.count if row is not None else 0) + event.by)

    changed = type("Tallies", (Tallies,), {"counted": counted}, name="tallies", partitions=4)
    assert original is Tallies.counted
    with caplog.at_level(logging.WARNING):
        async with app_of(changed, storage) as app:
            assert "code has changed since generation 1" in caplog.text
            assert (await app.projections.verify("tally.tallies")).equal
    caplog.clear()

    async with app_of(changed, storage):
        pass

    assert "code has changed" not in caplog.text


async def test_a_shadow_that_fails_says_so_and_goes_on_with_mended_code(storage: Storage) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, "a", "poison", "a"))

    async with app_of(BrokenTallies, storage) as app:
        with pytest.raises(SubscriptionFailedError, match="it can't count that"):
            await app.projections.wait(BrokenTallies)
        failed = {one.name: one.error for one in app.status()}
        assert "it can't count that" in (failed["tally.tallies@2"] or "")

    async with app_of(DoubledTallies, storage) as app:
        await app.projections.wait(DoubledTallies)
        await app.projections.switch(DoubledTallies, live_stands=True)
        assert await counts(app) == {"a": 2, "poison": 1}


async def test_rows_in_another_database_than_the_log_are_built_beside_there(
    storage: Storage, tmp_path: Path
) -> None:
    elsewhere = SqliteStorage(tmp_path / "rows.db")
    async with app_of(Tallies, storage, database=elsewhere) as app:
        await app.wait_for(Tallies, await count(app, *NAMES))
        await app.projections.rebuild(Tallies)
        await app.wait_for(Tallies, await count(app, "d"))

        done = await app.projections.switch(Tallies)
        await app.projections.drop(Tallies, 1)

        assert done.meeting.differences is not None
        assert done.meeting.differences.same == 4
        await app.wait_for(Tallies, await count(app, "d"))
        assert await counts(app) == {"a": 3, "b": 1, "c": 1, "d": 2}
        assert all("tally" not in one.name for one in await storage.subscriptions())


async def test_what_an_old_worker_has_in_hand_at_the_switch_is_refused(storage: Storage) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, "a"))
        (live,) = await app.projections.status(Tallies)
        old = await storage.get_rows("headwater_subscriptions", [live.subscription])
        guard = RowGuard(
            "headwater_subscriptions", live.subscription, old[live.subscription].version
        )
        in_hand = Changes(
            guards=(guard,),
            rows=(RowChange("tally_tally", "a", '{"name":"a","count":9,"doubled":0}', (9,)),),
        )
        await app.projections.rebuild(Tallies)
        await app.projections.switch(Tallies)

        with pytest.raises(RowConflictError):
            await storage.commit(in_hand)


async def test_a_generation_can_be_paused_and_resumed(storage: Storage) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, "a"))
        await app.projections.rebuild(Tallies)
        await app.projections.pause(Tallies, by="ada", reason="too much load")
        last = await count(app, "b")
        await app.wait_for(Tallies, last)
        shadow = (await app.projections.status(Tallies))[1]
        assert shadow.waits == "was paused by ada: too much load"

        await app.projections.resume(Tallies)

        await app.projections.wait(Tallies)
        assert (await app.projections.status(Tallies))[1].lag == 0
