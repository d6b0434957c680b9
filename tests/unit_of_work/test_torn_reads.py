"""A stream that is erased in part while it is read in pages is read again."""

from collections.abc import Sequence

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.ports.changes import Changes, StreamAction, StreamChange
from headwater.ports.log import StoredPayload
from headwater.unit_of_work import stream_reading
from tests.unit_of_work.ledger import BothLedger, Ledger, SnapshotLedger, enter, entries, new_units

STREAM = "app.ledger-7"


class Tearing(MemoryStorage):
    """Erases the events before a version when the second page of a stream is read."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.before = before
        self.torn = True

    async def read_payloads(
        self, stream_id: str, *, from_version: int = 1, limit: int = 1000
    ) -> Sequence[StoredPayload]:
        if from_version > 1 and not self.torn:
            self.torn = True
            change = StreamChange(STREAM, StreamAction.TRUNCATE, self.before)
            await self.commit(Changes(streams=(change,)))
        return await super().read_payloads(stream_id, from_version=from_version, limit=limit)


async def filled(before: int) -> Tearing:
    """Return a storage with nine events, read in pages of three."""
    storage = Tearing(before)
    await storage.open()
    await enter(new_units(storage), *range(1, 10))
    storage.torn = False
    return storage


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_reading, "STREAM_PAGE_EVENTS", 3)
    monkeypatch.setattr(stream_reading, "TAIL_EVENTS", 3)


@pytest.mark.parametrize("cls", [Ledger, BothLedger])
@pytest.mark.parametrize("before", [5, 6, 9])
async def test_a_gap_between_two_pages_is_noticed(before: int, cls: type[Ledger]) -> None:
    units = new_units(await filled(before))

    for _ in range(2):
        assert await entries(units, cls=cls) == [*range(before, 10)]
        await units.write_snapshots()


async def test_all_erased_between_two_pages_is_noticed() -> None:
    units = new_units(await filled(10))

    assert await units.new().repository(Ledger).find("7") is None


async def test_what_is_left_follows_on_a_page_that_was_read() -> None:
    units = new_units(await filled(4))

    assert await entries(units) == [*range(1, 10)]


async def test_a_gap_after_a_snapshot_is_noticed() -> None:
    storage = await filled(9)
    storage.torn = True

    async def snapshot() -> None:
        units = new_units(storage)
        await entries(units, cls=SnapshotLedger)
        await units.write_snapshots()

    await snapshot()
    await enter(new_units(storage), *range(10, 20))
    storage.torn, storage.before = False, 15

    assert await entries(new_units(storage), cls=SnapshotLedger) == [*range(15, 20)]
