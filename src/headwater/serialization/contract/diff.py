"""What breaks between the contract that was reviewed and the one that the code has now."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from headwater.serialization.contract.compatibility import Kind, Problem, problems
from headwater.serialization.contract.personal_fields import added_marks, lost_marks
from headwater.serialization.contract.snapshot import (
    Direction,
    Snapshot,
    form_of_text,
    form_text,
)

_REASONS: Mapping[tuple[Direction, Kind], str] = {
    (Direction.STORED, Kind.MISSING): "was added and is required, and stored events lack it",
    (Direction.STORED, Kind.OPTIONAL): "became required, and stored events can lack it",
    (Direction.STORED, Kind.UNREAD): "was removed, and what is stored in it is lost to readers",
    (Direction.STORED, Kind.REFUSED): "was removed, and fields that are not known are refused",
    (Direction.STORED, Kind.MEMBERS): "is stored with {written}, and only {read} can be read",
    (Direction.STORED, Kind.TYPE): "is stored as {written} and read as {read}",
    (Direction.PUBLISHED, Kind.MISSING): "was removed, and consumers require it",
    (Direction.PUBLISHED, Kind.OPTIONAL): "became optional, and consumers require it",
    (Direction.PUBLISHED, Kind.UNREAD): "was added",
    (Direction.PUBLISHED, Kind.REFUSED): "was added, and consumers refuse what they don't know",
    (Direction.PUBLISHED, Kind.MEMBERS): "can be {written} now, and consumers know only {read}",
    (Direction.PUBLISHED, Kind.TYPE): "is published as {written}, and consumers read {read}",
}


class Finding(NamedTuple):
    """One thing that breaks: in which message and field, for whom, why, and what to do.

    `field` is a path of names as in the JSON (``lines[].price``), empty for the whole message.
    `version` is the schema version that can't be read any more.
    """

    type: str
    version: int
    field: str
    direction: Direction
    reason: str
    advice: str

    def __str__(self) -> str:
        place = f"{self.type} v{self.version}"
        if self.field:
            place = f"{place}, {self.field}"
        return f"{place} ({self.direction.value}): {self.reason}. {self.advice}"


def schema_diff(old: Snapshot, new: Snapshot) -> list[Finding]:
    """Return what breaks if code with contract *old* is replaced by code with contract *new*.

    Stored events: the new code must read everything that the old code could, in every schema
    version, and lose nothing of it. Published ones: consumers that read what *old* says must be
    able to read what *new* says. Whoever raises a version is heard: stored events of the old one
    need an upcaster then, or must be readable as they are; consumers see the new version.

    Nothing breaks by what readers tolerate: new types, new fields with a default (for consumers
    any new field), an integer that becomes a number, a type that becomes a union with others,
    more members of an enum (for consumers: fewer), wider bounds.

    Of a personal field the mark is kept too: without it, what is written from now on stands in
    plain text. New marks break nothing; see `schema_notes`.

    Both come from `schema_snapshot` or `read_snapshot`. The findings are sorted by type.
    """
    found = [*_stored(old, new), *_unmarked(old, new), *_published(old, new)]
    return sorted(found, key=lambda finding: (finding.type, finding.version, finding.field))


def schema_notes(old: Snapshot, new: Snapshot) -> list[str]:
    """Return what breaks nothing between two contracts, and should be known all the same."""
    return [
        f"{name}, {change.field}: {change.reason}. Events that are stored already stay as they "
        f"are, in plain text."
        for name, before, now in _stored_pairs(old, new)
        for change in added_marks(before, now)
    ]


def _stored_pairs(
    old: Snapshot, new: Snapshot
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the stored messages of *old*, each with the one that it is in *new*."""
    for name, before in sorted(old["messages"].items()):
        if Direction.STORED.value not in before["directions"]:
            continue
        text = form_text(name, before["version"])
        for form in _ends(text, new) if text in new["upcasters"] else (text,):
            now = new["messages"].get(form_of_text(form)[0])
            if now is not None:
                yield name, before, now


def _unmarked(old: Snapshot, new: Snapshot) -> Iterator[Finding]:
    for name, before, now in _stored_pairs(old, new):
        for change in lost_marks(before, now):
            advice = f"Put the mark back: Personal(subject={change.subject!r})."
            yield Finding(
                name, before["version"], change.field, Direction.STORED, change.reason, advice
            )


def _stored(old: Snapshot, new: Snapshot) -> Iterator[Finding]:
    for name, message in old["messages"].items():
        if Direction.STORED.value in message["directions"]:
            yield from _still_read(name, message, new)
    for text in old["upcasters"]:
        name, version = form_of_text(text)
        live = old["messages"].get(name)
        if text not in new["upcasters"] and not (live and live["version"] == version):
            yield Finding(
                name,
                version,
                "",
                Direction.STORED,
                "its upcaster was removed, and events in this form can be stored",
                "Put it back: what is stored stays.",
            )


def _still_read(name: str, old: Mapping[str, Any], new: Snapshot) -> Iterator[Finding]:
    """Yield what keeps stored events called *name*, in the version of *old*, from being read."""
    version: int = old["version"]
    text = form_text(name, version)
    if text in new["upcasters"]:
        for lost in sorted(_dead_ends(text, new)):
            reason = f"its upcasters lead to {lost}, which is not there"
            yield _whole(name, version, reason, "Lead them to a message that the code knows.")
        return
    now = new["messages"].get(name)
    if now is None:
        yield _whole(
            name,
            version,
            "the type is gone, and its events are stored",
            f"If it has another name now: upcasters.rename_event({name!r}, version={version}, "
            f"to=…), or name=… in the class header. If nobody wants its events: "
            f"upcasters.drop_event({name!r}, version={version}).",
        )
    elif now["version"] < version:
        reason = f"the code knows version {now['version']} only"
        yield _whole(name, version, reason, "A version never goes back; raise it.")
    else:
        advice = _stored_advice(name, version, raised=now["version"] > version)
        for problem in problems(old["schema"], now["schema"], lossless=True):
            yield _finding(name, version, problem, Direction.STORED, advice)


def _dead_ends(text: str, new: Snapshot) -> set[str]:
    """Return the forms that upcasters of *new* lead to and that it has no message for."""
    return {form for form in _ends(text, new) if not _is_known(form, new)}


def _is_known(form: str, new: Snapshot) -> bool:
    name, version = form_of_text(form)
    message = new["messages"].get(name)
    return message is not None and message["version"] >= version


def _ends(text: str, new: Snapshot) -> set[str]:
    """Return the forms that upcasters of *new* lead to from form *text*, and not on from there."""
    found: set[str] = set()
    seen: set[str] = set()
    ahead = [text]
    while ahead:
        current = ahead.pop()
        if current in seen:
            continue
        seen.add(current)
        targets = new["upcasters"].get(current)
        if targets is None:
            found.add(current)
        else:
            ahead += targets
    return found


def _published(old: Snapshot, new: Snapshot) -> Iterator[Finding]:
    for name, before in old["messages"].items():
        if Direction.PUBLISHED.value not in before["directions"]:
            continue
        version: int = before["version"]
        now = new["messages"].get(name)
        if now is None or Direction.PUBLISHED.value not in now["directions"]:
            yield Finding(
                name,
                version,
                "",
                Direction.PUBLISHED,
                "it is not published any more, and consumers wait for it",
                "Go on publishing it beside what replaces it, until nobody reads it.",
            )
        elif now["version"] == version:
            advice = (
                f"Keep the field as it was, or publish a new version: version={version + 1} in "
                f"the class header."
            )
            for problem in problems(now["schema"], before["schema"], lossless=False):
                yield _finding(name, version, problem, Direction.PUBLISHED, advice)


def _whole(name: str, version: int, reason: str, advice: str) -> Finding:
    return Finding(name, version, "", Direction.STORED, reason, advice)


def _finding(
    name: str, version: int, problem: Problem, direction: Direction, advice: str
) -> Finding:
    reason = _REASONS[direction, problem.kind].format(written=problem.written, read=problem.read)
    return Finding(name, version, problem.field, direction, reason, advice)


def _stored_advice(name: str, version: int, *, raised: bool) -> str:
    upcaster = (
        f"an upcaster of the old form: upcasters.change_fields({name!r}, version={version}, …)"
    )
    if raised:
        return f"Add {upcaster}."
    return f"Raise the version to {version + 1} in the class header and add {upcaster}."
