"""Marks of personal fields are a part of the contract: one that goes is found."""

from typing import Annotated, Any

import pytest

from headwater.adapters.key_store.memory import MemoryKeyStore, MemoryLedger
from headwater.messages import Value
from headwater.serialization import EventCodec, TypeRegistry, Upcasters
from headwater.serialization.contract import (
    Finding,
    read_snapshot,
    schema_diff,
    schema_notes,
    schema_snapshot,
    snapshot_text,
)
from headwater.serialization.personal import MasterKeys, Personal, PersonalData, Subject
from tests.serialization.contracts import NAME, event

Id = Annotated[str, Subject()]
Marked = Annotated[str, Personal()]


class Guest(Value):
    guest_id: Id
    name: Marked


class PlainGuest(Value):
    guest_id: str
    name: str


def contract(cls: type, upcasters: Upcasters | None = None) -> dict[str, Any]:
    personal = PersonalData(MemoryKeyStore(), wrapper=MasterKeys(b"k" * 32), ledger=MemoryLedger())
    registry = TypeRegistry(personal=personal)
    registry.register(cls)
    written = snapshot_text(schema_snapshot(EventCodec(registry, upcasters=upcasters or ())))
    return read_snapshot(written)


def findings(before: type, after: type, *, upcasters: Upcasters | None = None) -> list[Finding]:
    return schema_diff(contract(before), contract(after, upcasters))


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ({"id": Id, "name": Marked}, {"id": str, "name": str}, "name"),
        (
            {"id": Id, "name": Annotated[str | None, Personal()]},
            {"id": Id, "name": str | None},
            "name",
        ),
        ({"id": Id, "guest": Guest}, {"id": Id, "guest": PlainGuest}, "guest.name"),
        (
            {"id": Id, "guests": list[Guest]},
            {"id": Id, "guests": list[PlainGuest]},
            "guests[].name",
        ),
        ({"at": dict[str, Guest]}, {"at": dict[str, PlainGuest]}, "at{}.name"),
        ({"guest": Guest | None}, {"guest": PlainGuest | None}, "guest.name"),
    ],
)
def test_a_mark_that_was_removed_is_found(
    before: dict[str, Any], after: dict[str, Any], field: str
) -> None:
    (finding,) = findings(event(**before), event(**after))

    assert (finding.type, finding.field) == (NAME, field)
    assert "plain text" in finding.reason
    assert "Personal(subject=" in finding.advice


def test_a_mark_is_looked_for_in_the_version_that_an_upcaster_leads_to() -> None:
    upcasters = Upcasters()
    upcasters.change_fields(NAME, version=1, rename={"total": "sum"})
    before = event(id=Id, name=Marked, total=int)
    after = event(version=2, id=str, name=str, sum=int)

    (finding,) = findings(before, after, upcasters=upcasters)

    assert (finding.version, finding.field) == (1, "name")


def test_another_subject_is_found() -> None:
    before = event(a=str, b=str, name=Annotated[str, Personal("a")])
    after = event(a=str, b=str, name=Annotated[str, Personal("b")])

    (finding,) = findings(before, after)

    assert "of 'a', and is that of 'b'" in finding.reason


def test_what_stays_personal_is_no_finding() -> None:
    one = event(id=Id, name=Marked, guests=list[Guest])
    whole = event(id=Id, name=Marked, guests=Annotated[list[Guest], Personal("id", erased=[])])

    assert findings(one, one) == []
    assert findings(one, whole) == []
    assert findings(event(id=Id, name=Marked), event(id=Id, name=Marked, note=(str, ""))) == []


def test_a_mark_that_was_added_is_allowed_and_told() -> None:
    before, after = contract(event(id=str, name=str)), contract(event(id=Id, name=Marked))

    assert schema_diff(before, after) == []
    (note,) = schema_notes(before, after)
    assert "name: is personal from now on" in note
    assert schema_notes(after, after) == []


def test_a_contract_without_personal_fields_is_as_it_was_before_there_were_any() -> None:
    assert "personal" not in contract(event(int))["messages"][NAME]
