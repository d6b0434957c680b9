"""A counter whose snapshots are looked at."""

import msgspec

from headwater.adapters.storage.memory import MemoryStorage
from headwater.operations.snapshots import SNAPSHOTS
from headwater.ports.rows import Row
from headwater.unit_of_work.units import Units

STREAM = "app.ledger-7"


async def drained(units: Units) -> None:
    await units.drain(seconds=10)


async def snapshot(storage: MemoryStorage, key: str = STREAM) -> Row | None:
    return (await storage.get_rows(SNAPSHOTS.name, (key,))).get(key)


async def snapshot_version(storage: MemoryStorage) -> int:
    row = await snapshot(storage)
    return int(msgspec.json.decode(row.data)["version"]) if row else 0
