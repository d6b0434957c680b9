"""What is kept of a person in snapshots and caches goes when the person is forgotten."""

import gc
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import pytest

from headwater.adapters.key_store.ledger_file import LedgerFile
from headwater.adapters.key_store.memory import MemoryKeyStore
from headwater.clock import ManualClock
from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.snapshots import Snapshots
from headwater.messages import Event
from headwater.operations.snapshots import SNAPSHOTS
from headwater.serialization.codec import EventCodec
from headwater.serialization.personal import (
    ERASED_TEXT,
    KEY_RING_SECONDS,
    MasterKeys,
    Personal,
    PersonalData,
    Subject,
)
from headwater.serialization.registry import TypeRegistry
from headwater.unit_of_work.units import Units
from tests.unit_of_work.counting import CountingStorage


class Joined(Event):
    person: Annotated[str, Subject()]
    email: Annotated[str, Personal()]


class Renamed(Event):
    name: str


class Team(Aggregate[str]):
    name: str = ""
    emails: list[str] = []  # noqa: RUF012 - copied for each instance

    @applies
    def _joined(self, event: Joined) -> None:
        self.emails.append(event.email)

    @applies
    def _renamed(self, event: Renamed) -> None:
        self.name = event.name


class SnapshotTeam(Team, name="team", snapshots=Snapshots(every=1)):
    """With a snapshot of each version."""


class CachedTeam(Team, name="team", cache=10):
    """Kept in memory."""


class BothTeam(Team, name="team", cache=10, snapshots=Snapshots(every=1)):
    """Both."""


class Contact(Aggregate[str], name="team", cache=10, snapshots=Snapshots(every=1)):
    """Of one person, and with what is personal of it in its state."""

    email: Annotated[str, Personal(subject="id")] = ""

    @applies
    def _joined(self, event: Joined) -> None:
        self.email = event.email


class House:
    """A storage, its keys, and processes that work on both."""

    def __init__(self, place: Path) -> None:
        self.storage, self.keys, self.clock = CountingStorage(), MemoryKeyStore(), ManualClock()
        self.ledger = LedgerFile(place / "ledger.jsonl")

    async def process(self) -> tuple[Units, PersonalData]:
        """Return what a process has that begins now."""
        personal = PersonalData(
            self.keys, wrapper=MasterKeys(b"m" * 32), ledger=self.ledger, clock=self.clock
        )
        await personal.open()
        registry = TypeRegistry(personal=personal)
        for event in (Joined, Renamed):
            registry.register(event)
        storage = personal.around(self.storage)
        return Units(storage, codec=EventCodec(registry), clock=self.clock), personal

    async def stored(self) -> str:
        """Return the snapshot as those see it who have no keys."""
        rows = await self.storage.get_rows(SNAPSHOTS.name, ("app.team-7",))
        return rows["app.team-7"].data


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.storage.open()
    yield house
    await house.storage.close()


async def fill(units: Units) -> None:
    async with units.unit_of_work() as unit:
        team = Team("7")
        unit.repository(Team).add(team)
        for event in (Joined("ada", "ada@x"), Joined("bob", "bob@x"), Renamed("engines")):
            team.record(event)


async def team(units: Units, cls: type[Team]) -> Team:
    found = await units.new(reads_only=True).repository(cls).get("7")
    await units.write_snapshots()
    return found


@pytest.mark.parametrize("cls", [SnapshotTeam, CachedTeam, BothTeam])
async def test_this_process_follows_at_once(house: House, cls: type[Team]) -> None:
    units, personal = await house.process()
    await fill(units)
    assert (await team(units, cls)).emails == ["ada@x", "bob@x"]
    assert (await team(units, cls)).emails == ["ada@x", "bob@x"]

    await personal.forget("ada")

    for _ in range(2):
        found = await team(units, cls)
        assert (found.emails, found.name) == ([ERASED_TEXT, "bob@x"], "engines")


@pytest.mark.parametrize("cls", [SnapshotTeam, CachedTeam, BothTeam])
async def test_what_is_left_is_kept_like_any_other_state(house: House, cls: type[Team]) -> None:
    units, personal = await house.process()
    await fill(units)
    await team(units, cls)
    await personal.forget("ada")
    await team(units, cls)
    house.storage.reads()

    assert (await team(units, cls)).emails == [ERASED_TEXT, "bob@x"]

    # The one that the kept state stands for, and nothing before it.
    assert house.storage.reads() == 1
    await personal.forget("bob")
    assert (await team(units, cls)).emails == [ERASED_TEXT, ERASED_TEXT]


async def test_a_state_that_is_personal_itself_is_kept_without_what_was_forgotten(
    house: House,
) -> None:
    units, personal = await house.process()
    async with units.unit_of_work() as unit:
        unit.append("app.team-7", Joined("7", "ada@x"), Joined("7", "ada@y"))
    for _ in range(2):
        await units.new(reads_only=True).repository(Contact).get("7")
        await units.write_snapshots()
        assert "ada@" not in await house.stored()
    await personal.forget("7")
    await units.new(reads_only=True).repository(Contact).get("7")
    await units.write_snapshots()
    other, _ = await house.process()
    house.storage.reads()

    contact = await other.new(reads_only=True).repository(Contact).get("7")

    assert contact.email == ERASED_TEXT
    assert house.storage.reads() == 1
    assert '"email":"(erased)"' in await house.stored()


async def test_who_is_done_with_its_units_leaves_nothing_behind(house: House) -> None:
    _, personal = await house.process()
    storage, codec = house.storage, EventCodec(TypeRegistry(personal=personal))
    units = Units(storage, codec=codec)
    gone = weakref.ref(units)

    del units
    gc.collect()

    assert gone() is None
    await personal.forget("ada")


@pytest.mark.parametrize("cls", [SnapshotTeam, CachedTeam, BothTeam])
async def test_other_processes_follow_when_their_keys_are_due(
    house: House, cls: type[Team]
) -> None:
    units, personal = await house.process()
    other, _ = await house.process()
    await fill(units)
    for _ in range(2):
        assert (await team(other, cls)).emails == ["ada@x", "bob@x"]

    await personal.forget("ada")
    house.clock.advance(KEY_RING_SECONDS)

    assert (await team(other, cls)).emails == [ERASED_TEXT, "bob@x"]


@pytest.mark.parametrize("cls", [SnapshotTeam, BothTeam])
async def test_a_snapshot_is_stored_encrypted(house: House, cls: type[Team]) -> None:
    units, personal = await house.process()
    await fill(units)
    await team(units, cls)

    # Of all whose data went into it, also where it goes on from a snapshot or a copy.
    async with units.unit_of_work() as unit:
        (await unit.repository(cls).get("7")).record(Renamed("motors"))
    await team(units, cls)

    stored = await house.stored()
    assert "@x" not in stored
    assert "motors" not in stored
    await personal.forget("bob")
    assert (await team(units, cls)).emails == ["ada@x", ERASED_TEXT]
    assert (await team((await house.process())[0], cls)).emails == ["ada@x", ERASED_TEXT]


async def test_what_has_nothing_personal_stays_readable(house: House) -> None:
    units, _ = await house.process()
    async with units.unit_of_work() as unit:
        nameless = Team("7")
        unit.repository(Team).add(nameless)
        nameless.record(Renamed("engines"))
    await team(units, SnapshotTeam)

    assert '"state":{"name":"engines","emails":[]}' in await house.stored()
