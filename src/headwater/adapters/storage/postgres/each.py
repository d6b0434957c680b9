"""Members of a batch as JSON, for the function that commits them one after another."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import asdict

from headwater.adapters.storage.postgres.arrays import expected_number
from headwater.adapters.storage.postgres.row_statements import RowStatements, indexed_text
from headwater.ports.changes import Changes, NewEvent

_encode: Final = msgspec.json.encode
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_IDS: Final = ("id", "correlation_id", "causation_id")


def member_text(changes: Changes) -> str:
    """Return *changes* as JSON text.

    Raises:
        ValueError: a text in it can't be written as UTF-8, or has a character that
            PostgreSQL's texts can't hold.
    """
    text = _encode(
        {
            "deadline": changes.deadline,
            "receipts": [
                {**asdict(r), "id": _uuid(r.message_id), "digest": r.digest.hex()}
                for r in changes.receipts
            ],
            "checkpoints": [
                {**asdict(m), "place": m.to, "event": _uuid(m.event_id)}
                for m in changes.checkpoints
            ],
            "appends": [
                {
                    "stream": append.stream_id,
                    "expected": expected_number(append.expected),
                    "events": [_event(event) for event in append.events],
                }
                for append in changes.appends
            ],
            "conditions": [{**asdict(c), "types": sorted(c.types)} for c in changes.conditions],
            "changes": [
                {"stream": c.stream_id, "action": c.action.value, "below": c.before_version}
                for c in changes.streams
            ],
            "guards": [asdict(guard) for guard in changes.guards],
            "rows": [{**asdict(row), "indexed": indexed_text(row.indexed)} for row in changes.rows],
        }
    )
    if _NUL.search(text):
        raise ValueError("PostgreSQL's texts can't hold the character U+0000")
    return text.decode()


def shared_arguments(
    batch: Sequence[Changes], statements: Mapping[str, RowStatements]
) -> list[Any]:
    """Return what the function takes beside the members: the collections, and what to lock."""
    names = {guard.collection for changes in batch for guard in changes.guards}
    names |= {row.collection for changes in batch for row in changes.rows}
    places = {(m.subscription, m.partition) for changes in batch for m in changes.checkpoints}
    collections = {name: statements[name].each for name in sorted(names)}
    # Alone in its collections a batch needs to lock no rows.
    return [
        _encode(collections).decode(),
        sorted(names),
        [True] * len(names),
        [subscription for subscription, _ in sorted(places)],
        [partition for _, partition in sorted(places)],
    ]


def _event(event: NewEvent) -> dict[str, Any]:
    return {**asdict(event), **{name: _uuid(getattr(event, name)) for name in _IDS}}


def _uuid(id_: bytes | None) -> str | None:
    return None if id_ is None else str(UUID(bytes=id_))
