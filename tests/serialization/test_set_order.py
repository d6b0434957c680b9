"""The stored text of an event with sets is the same in every process, whatever its hash seed."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest

from headwater.messages import Event, Value
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from tests.serialization.examples import Colour

WORDS = ("one", "two", "three", "four", "five", "six")


class Word(Value):
    text: str


class Phrase(Value, rename="camel", tag=True):
    all_words: frozenset[Word]


class Short(Value, array_like=True, tag=True):
    number: int
    words: frozenset[str]


@dataclass(frozen=True)
class Note:
    words: frozenset[str]


class Sets(Event, kw_only=True):
    words: frozenset[str]
    mutable: set[str]
    colours: frozenset[Colour]
    mixed: frozenset[str | int | None]
    sets: frozenset[frozenset[str]]
    phrase: Phrase | None
    short: Short
    note: Note
    listed: tuple[frozenset[str], ...]
    by_number: dict[int, frozenset[str]]
    by_word: dict[str, int]


class Section(pydantic.BaseModel, frozen=True):
    words: frozenset[str] = pydantic.Field(alias="allWords")


class Document(pydantic.BaseModel, frozen=True):
    sections: tuple[Section, ...]
    words: set[str]
    by_number: dict[int, frozenset[str]]
    colours: frozenset[Colour]


def with_sets() -> Sets:
    return Sets(
        words=frozenset(WORDS),
        mutable=set(WORDS),
        colours=frozenset(Colour),
        mixed=frozenset({None, 1, 10, 9, *WORDS}),
        sets=frozenset(frozenset({word, "and"}) for word in WORDS),
        phrase=Phrase(all_words=frozenset(map(Word, WORDS))),
        short=Short(number=1, words=frozenset(WORDS)),
        note=Note(frozenset(WORDS)),
        listed=(frozenset(WORDS), frozenset(WORDS[:3])),
        by_number={2: frozenset(WORDS), 1: frozenset(WORDS)},
        by_word={"z": 1, "a": 2},
    )


def document() -> Document:
    return Document(
        sections=(Section(allWords=frozenset(WORDS)),),
        words=set(WORDS),
        by_number={2: frozenset(WORDS), 1: frozenset(WORDS)},
        colours=frozenset(Colour),
    )


EVENTS: dict[str, Callable[[], Any]] = {"struct": with_sets, "pydantic": document}


def written() -> str:
    """Return the text and the digest of each of `EVENTS`, as this process writes them."""
    codec = EventCodec(TypeRegistry("sales"))
    return "\n".join(
        f"{codec.encode(make())[2]} {UUID(bytes=codec.digest(make()))}" for make in EVENTS.values()
    )


def writing_elsewhere(*, seed: int) -> subprocess.Popen[str]:
    script = "from tests.serialization import test_set_order as t; print(t.written())"
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_event_with_sets_is_written_alike_by_every_process() -> None:
    others = [writing_elsewhere(seed=seed) for seed in (1, 2)]

    texts = {written(), *(other.communicate()[0].strip() for other in others)}

    assert [other.returncode for other in others] == [0, 0]
    assert len(texts) == 1


@pytest.mark.parametrize("make", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_with_sets_comes_back_as_it_was(make: Callable[[], Any]) -> None:
    codec = EventCodec(TypeRegistry("sales"))

    assert codec.decode(*codec.encode(make())) == make()


def test_fields_and_dict_entries_keep_their_order_beside_sets() -> None:
    _, _, text = EventCodec(TypeRegistry("sales")).encode(with_sets())

    written_fields = msgspec.json.decode(text)
    assert list(written_fields) == list(Sets.__struct_fields__)
    assert list(written_fields["by_word"]) == ["z", "a"]
