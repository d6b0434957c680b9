"""The digest of what folds a stream is the same in every process, whatever its hash seed."""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from headwater.domain.decider import Decider
from headwater.messages import Event, Value
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.unit_of_work.folding import DeciderFolding

WORDS = frozenset({"one", "two", "three", "four", "five", "six"})


class Kind(Enum):
    ALL = WORDS
    NONE = frozenset[str]()


class Role(Value):
    words: frozenset[str] = WORDS


class Opened(Event, name="shop.opened"):
    words: frozenset[str] = WORDS
    role: Role = Role()


class Inner(pydantic.BaseModel, frozen=True):
    words: frozenset[str] = WORDS


class OfModels(pydantic.BaseModel, frozen=True):
    words: frozenset[str] = WORDS
    inner: Inner = Inner()


class State(msgspec.Struct, frozen=True):
    words: frozenset[str] = WORDS
    role: Role = Role()


@dataclass(frozen=True)
class Data:
    words: frozenset[str] = WORDS


@attrs.frozen
class Attrs:
    words: frozenset[str] = WORDS


HELD: dict[str, Any] = {
    "struct": State(),
    "dataclass": Data(),
    "attrs": Attrs(),
    "pydantic": OfModels(),
    "enum": Kind.ALL,
    "deque": deque([WORDS]),
    "mapping": MappingProxyType({"all": WORDS}),
    "keys": dict.fromkeys(sorted(WORDS)).keys(),
}


def code(of: type, initial: Any, held: object = None) -> str:
    def evolve(state: Any, _event: Any) -> Any:
        return state if held is None else initial

    evolve.__annotations__ = {"state": type(initial), "_event": of, "return": type(initial)}
    decider: Decider[Any, Any, Any] = Decider(
        name="shop",
        initial=initial,
        decide=lambda _command, _state: [],
        evolve=evolve,
        events=(of,),
    )
    return DeciderFolding(decider, EventCodec(TypeRegistry())).code


CODES: dict[str, Callable[[], str]] = {
    "defaults of an event": lambda: code(Opened, 0),
    "defaults of a model": lambda: code(OfModels, 0),
    "the first state": lambda: code(Opened, State()),
    **{f"{name} held": partial(code, Opened, 0, held) for name, held in HELD.items()},
}


def written() -> str:
    """Return all of `CODES`, as this process has them."""
    return "\n".join(f"{name}: {make()}" for name, make in CODES.items())


def writing_elsewhere(*, seed: int) -> subprocess.Popen[str]:
    script = "from tests.unit_of_work import test_fold_digest_order as t; print(t.written())"
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_it_is_the_same_in_every_process() -> None:
    others = [writing_elsewhere(seed=seed) for seed in (1, 2)]

    texts = [other.communicate()[0].splitlines() for other in others]

    assert [other.returncode for other in others] == [0, 0]
    assert texts == [written().splitlines()] * 2


@pytest.mark.parametrize(
    "other",
    [
        State(words=frozenset()),
        Data(frozenset()),
        Attrs(frozenset()),
        OfModels(words=frozenset()),
        Kind.NONE,
        deque([1]),
        MappingProxyType({"all": 1}),
        {"none": 1}.keys(),
    ],
    ids=list(HELD),
)
def test_what_is_held_counts(other: Any, request: pytest.FixtureRequest) -> None:
    held = HELD[request.node.callspec.id]

    assert code(Opened, 0, held) != code(Opened, 0, other)
