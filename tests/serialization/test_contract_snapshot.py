"""The contract of a program as a file: the same for the same code, and made for review."""

import json
import subprocess
import sys
from enum import Enum

import pytest

from headwater.errors import SerializationError
from headwater.messages import Command, Event, IntegrationEvent, Notification, Value
from headwater.serialization import EventCodec, TypeRegistry, Upcasters
from headwater.serialization.contract import read_snapshot, schema_snapshot, snapshot_text


class Colour(Enum):
    """Some colours."""

    RED = "red"
    BLUE = "blue"


class Line(Value):
    """A line."""

    sku: str
    colour: Colour = Colour.RED


class Placed(Event, name="sales.order-placed", version=2):
    """An order was placed."""

    lines: tuple[Line, ...]
    order_id: int
    parent: "Placed | None" = None


class Announced(IntegrationEvent, name="sales.order-announced"):
    title: str


class Place(Command[None], name="sales.place-order"):
    order_id: int


class Opened(Notification, name="sales.opened"):
    shop: str


def codec(*types: type) -> EventCodec:
    registry, upcasters = TypeRegistry(), Upcasters()
    for cls in types:
        registry.register(cls)
    upcasters.change_fields("sales.order-placed", version=1, rename={"id": "order_id"})
    upcasters.rename_event("sales.order-made", to=("sales.order-placed", 2))
    return EventCodec(registry, upcasters=upcasters)


def test_a_snapshot_holds_what_is_stored_and_published() -> None:
    snapshot = schema_snapshot(codec(Placed, Announced, Place, Opened))

    assert snapshot == {
        "headwater": 1,
        "messages": {
            "sales.order-announced": {
                "version": 1,
                "directions": ["stored", "published"],
                "schema": {
                    "type": "object",
                    "properties": {"title": {"type": "string"}},
                    "required": ["title"],
                },
            },
            "sales.order-placed": {
                "version": 2,
                "directions": ["stored"],
                "schema": {
                    "type": "object",
                    "properties": {
                        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
                        "order_id": {"type": "integer"},
                        "parent": {"anyOf": [{"$ref": "#"}, {"type": "null"}], "default": None},
                    },
                    "required": ["lines", "order_id"],
                    "$defs": {
                        "Line": {
                            "type": "object",
                            "properties": {
                                "sku": {"type": "string"},
                                "colour": {"enum": ["blue", "red"], "default": "red"},
                            },
                            "required": ["sku"],
                        }
                    },
                },
            },
        },
        "upcasters": {
            "sales.order-made v1": ["sales.order-placed v2"],
            "sales.order-placed v1": ["sales.order-placed v2"],
        },
    }


def test_the_text_is_sorted_and_comes_back_as_it_was() -> None:
    snapshot = schema_snapshot(codec(Placed, Announced))

    text = snapshot_text(snapshot)

    assert text == snapshot_text(schema_snapshot(codec(Announced, Placed)))
    assert read_snapshot(text) == snapshot
    assert text.endswith("}\n")
    assert '\n      "directions": [\n' in text


def test_the_text_does_not_hang_on_the_process() -> None:
    program = (
        "from tests.serialization.test_contract_snapshot import *\n"
        "print(snapshot_text(schema_snapshot(codec(Placed, Announced))), end='')"
    )

    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        ).stdout
        for seed in ("1", "2")
    }

    assert texts == {snapshot_text(schema_snapshot(codec(Placed, Announced)))}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"headwater":1,"messages":{"a":{}},"upcasters":{}}',
        json.dumps({"headwater": 2, "messages": {}, "upcasters": {}}),
    ],
)
def test_what_is_no_snapshot_is_refused(text: str) -> None:
    with pytest.raises(SerializationError):
        read_snapshot(text)
