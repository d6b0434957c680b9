"""The contract of a program: all messages that it stores and publishes, as one document."""

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final, cast

import msgspec

from headwater.errors import SerializationError
from headwater.messages import IntegrationEvent, Notification, Request
from headwater.serialization.codec import EventCodec
from headwater.serialization.contract.personal_fields import personal_fields
from headwater.serialization.contract.schemas import schema_of
from headwater.serialization.registry import RegisteredType

FORMAT: Final = 1
"""The version of the document's own form."""

Snapshot = dict[str, Any]
"""``{"headwater": 1, "messages": {name: …}, "upcasters": {form: [form, …]}}``, JSON all through.

A message has its ``version``, its ``directions`` and the JSON ``schema`` of its fields; where some
of them are ``personal``, whose they are. A form is written ``sales.order-placed v1``.
"""


class Direction(Enum):
    """Who has to be able to read what."""

    STORED = "stored"
    """This program reads what it has stored, however long ago."""

    PUBLISHED = "published"
    """Others read what this program publishes, and are as old as they like."""


def schema_snapshot(codec: EventCodec) -> Snapshot:
    """Return the contract of all events and integration events that *codec* knows.

    Of an app: ``schema_snapshot(app.catalogue().codec)``. The document is the same for the same
    code: names are sorted, and docstrings are left out. Requests and notifications are not in it,
    because they are not stored.
    """
    registry = codec.registry
    entries = [registry.entry_of(cls) for cls in registry.types()]
    kept = sorted((entry for entry in entries if _is_durable(entry)), key=lambda entry: entry.name)
    return {
        "headwater": FORMAT,
        "messages": {entry.name: _message(entry) for entry in kept},
        "upcasters": {
            form_text(*source): [form_text(*target) for target in step.targets]
            for source, step in sorted(codec.chains.steps.items())
        },
    }


def _message(entry: RegisteredType) -> dict[str, Any]:
    message: dict[str, Any] = {
        "version": entry.version,
        "directions": [direction.value for direction in _directions(entry)],
        "schema": schema_of(entry.cls),
    }
    personal = personal_fields(entry.cls)
    return {**message, "personal": personal} if personal else message


def snapshot_text(snapshot: Snapshot) -> str:
    """Return *snapshot* as the text of a file that shows well in a review: sorted, indented."""
    return json.dumps(snapshot, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_snapshot(text: str | bytes) -> Snapshot:
    """Return the snapshot that `snapshot_text` has written.

    Raises:
        SerializationError: *text* is no snapshot, or one of a newer Headwater.
    """
    try:
        return cast("Snapshot", _read(text))
    except (msgspec.MsgspecError, ValueError) as error:
        raise SerializationError(f"This is no contract of Headwater: {error}.") from error


class _Message(msgspec.Struct):
    version: int
    directions: list[Direction]
    schema: dict[str, Any]
    personal: dict[str, str] = {}


class _Document(msgspec.Struct):
    headwater: int
    messages: dict[str, _Message]
    upcasters: dict[str, list[str]]


def _read(text: str | bytes) -> object:
    document = msgspec.json.decode(text, type=_Document)
    if document.headwater > FORMAT:
        raise SerializationError(
            f"The contract has form {document.headwater}, and this Headwater knows {FORMAT}. "
            f"Read it with the version that wrote it, or a newer one."
        )
    return msgspec.json.decode(text)


def form_text(name: str, version: int) -> str:
    """Return how a name and a version are written in a snapshot."""
    return f"{name} v{version}"


def form_of_text(text: str) -> tuple[str, int]:
    """Return the name and version of what `form_text` has written."""
    name, _, version = text.rpartition(" v")
    return name, int(version)


def _is_durable(entry: RegisteredType) -> bool:
    return not any(base in entry.cls.__mro__ for base in (Request, Notification))


def _directions(entry: RegisteredType) -> Iterator[Direction]:
    yield Direction.STORED
    if IntegrationEvent in entry.cls.__mro__:
        yield Direction.PUBLISHED
