"""Whatever chain of renames, fills, splits and drops: old events are read as if written today."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from headwater.messages import message
from headwater.ports.log import StoredEvent
from headwater.serialization import EventCodec, TypeRegistry, Upcasters, upcast_faults

Fields = dict[str, Any]
Form = tuple[str, int]

FIELDS = ("a", "b", "c")


class Step(NamedTuple):
    """A change that was made once: what an event was called and held before, and after."""

    kind: str
    source: Form
    targets: tuple[Form, ...]
    field: str


class History(NamedTuple):
    steps: tuple[Step, ...]
    newest: tuple[Form, ...]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Make a type of events evolve: each step changes one of the forms that are live then."""
    live: list[Form] = [("test.t0", 1)]
    names = 1
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 8))):
        if not live:
            break
        source = live.pop(draw(st.integers(0, len(live) - 1)))
        kind = draw(st.sampled_from(["rename field", "fill", "rename event", "split", "drop"]))
        targets: tuple[Form, ...] = ()
        if kind in {"rename field", "fill"}:
            targets = ((source[0], source[1] + 1),)
        elif kind == "rename event":
            targets = ((f"test.t{names}", 1),)
        elif kind == "split":
            targets = ((f"test.t{names}", 1), (f"test.t{names + 1}", 1))
        names += len(targets)
        live += targets
        steps.append(Step(kind, source, targets, f"{draw(st.sampled_from(FIELDS))}{len(steps)}"))
    return History(tuple(steps), tuple(live))


def changed(step: Step, fields: Fields) -> list[tuple[Form, Fields]]:
    """What *step* means, said without any of the code that is tested."""
    if step.kind == "rename field":
        first, *rest = fields.items()
        renamed = {step.field: first[1], **dict(rest)}
        return [(step.targets[0], renamed)]
    if step.kind == "fill":
        return [(step.targets[0], {**fields, step.field: "filled"})]
    return [(target, {**fields, f"part{step.field}": n}) for n, target in enumerate(step.targets)]


def upcasters_of(history: History) -> Upcasters:
    upcasters = Upcasters()
    for step in history.steps:
        if step.kind == "drop":
            upcasters.drop_event(step.source[0], version=step.source[1])
            continue

        def upcast(fields: Fields, step: Step = step) -> Iterator[tuple[str, int, Fields]]:
            for target, made in changed(step, fields):
                yield *target, made

        upcasters.upcaster(step.source[0], version=step.source[1], to=step.targets)(upcast)
    return upcasters


def follow(history: History, form: Form, fields: Fields) -> list[tuple[Form, Fields]]:
    """Return what an event in *form* would have been written as at the end of *history*."""
    for step in history.steps:
        if step.source == form:
            if step.kind == "drop":
                return []
            return [end for part in changed(step, fields) for end in follow(history, *part)]
    return [(form, fields)]


def forms_before(history: History) -> list[tuple[Form, Fields]]:
    """Return an event in each form that there ever was, the newest ones included."""
    ahead: list[tuple[Form, Fields]] = [(("test.t0", 1), {"id": 0, "text": "x"})]
    found: list[tuple[Form, Fields]] = []
    while ahead:
        form, fields = ahead.pop()
        found.append((form, fields))
        step = next((step for step in history.steps if step.source == form), None)
        if step is not None and step.kind != "drop":
            ahead += changed(step, fields)
    return found


def classes_of(history: History) -> dict[Form, type]:
    newest = [found for found in forms_before(history) if found[0] in history.newest]
    return {
        form: message(name=form[0], version=form[1])(
            msgspec.defstruct(form[0], [(name, str | int) for name in fields], frozen=True)
        )
        for form, fields in newest
    }


@given(histories())
def test_an_old_event_is_read_as_those_that_would_be_written_today(history: History) -> None:
    registry = TypeRegistry()
    classes = classes_of(history)
    for cls in classes.values():
        registry.register(cls)
    codec = EventCodec(registry, upcasters=upcasters_of(history))
    today = EventCodec(registry)

    assert upcast_faults(codec.chains, registry) == []
    for (name, version), fields in forms_before(history):
        data = msgspec.json.encode(fields).decode()
        expected: list[object] = []
        for form, end in follow(history, (name, version), fields):
            written = today.encode(classes[form](**end))
            expected.append(today.decode(*written))
        assert list(codec.decode_all(name, version, data)) == expected
        assert codec.decode_payloads([(1, name, version, data)]) == expected


@given(histories())
def test_ids_of_parts_are_distinct_and_the_same_each_time(history: History) -> None:
    registry = TypeRegistry()
    for cls in classes_of(history).values():
        registry.register(cls)
    codec = EventCodec(registry, upcasters=upcasters_of(history))
    event = StoredEvent(1, "s-1", 1, b"\x01" * 16, "test.t0", 1, '{"id":0,"text":"x"}', 0, 0)

    ids = [record.id for record, _ in codec.read(event)]

    assert len(set(ids)) == len(ids)
    assert ids == [record.id for record, _ in codec.read(event)]
