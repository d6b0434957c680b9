"""A handler that says it returns something else than its request asks for is a fault."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from headwater.errors import WiringError
from headwater.mediator import Handlers, Mediator
from headwater.messages import Command, Query


class Count(Command[int]):
    pass


class Nothing(Command[None]):
    pass


class Maybe(Query[UUID | None]):
    pass


class Many(Query[Sequence[str]]):
    pass


async def text(_c: Count) -> str:
    raise NotImplementedError


async def nothing(_c: Count) -> None:
    raise NotImplementedError


async def number(_c: Nothing) -> int:
    raise NotImplementedError


async def words(_q: Maybe) -> UUID | str:
    raise NotImplementedError


async def flag(_c: Count) -> bool:
    raise NotImplementedError


async def anything(_c: Count) -> Any:
    raise NotImplementedError


async def one(_q: Maybe) -> UUID:
    raise NotImplementedError


async def many(_q: Many) -> list[str]:
    raise NotImplementedError


def inline(_c: Nothing) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("handler", [text, nothing, number, words])
def test_another_answer_than_asked_for_is_a_fault(handler: Callable[..., Any]) -> None:
    table = Handlers()
    table.handler(handler)

    with pytest.raises(WiringError, match=rf"{handler.__name__} returns .* asks for"):
        Mediator(table)


@pytest.mark.parametrize("handler", [flag, anything, one, many, inline])
def test_an_answer_that_fits_or_can_not_be_judged_is_none(handler: Callable[..., Any]) -> None:
    table = Handlers()
    table.handler(handler)

    Mediator(table)
