"""Every error of the tree carries its values, says them, and survives pickling."""

import copy
import inspect
import pickle
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast, get_type_hints
from uuid import UUID

import pytest

from headwater import errors
from headwater.errors import (
    ConcurrencyError,
    ConflictError,
    HeadwaterError,
    RefusedError,
    StorageBusyError,
    UnknownTypeError,
    WaitTimeoutError,
    WiringError,
    WiringFault,
)
from headwater.streams import ExpectedVersion

FAULT = WiringFault("Nothing handles ShipOrder.", where="shop.py:7", advice="Write a handler.")


class ShipOrder:
    """Stands for a message type."""


SAMPLES: dict[Any, Any] = {
    datetime: datetime(2024, 1, 1, 12, 30, tzinfo=UTC),
    float: 2.5,
    int: 4711,
    int | None: 4711,
    object: UUID("0190b1c5-7a3e-7def-8123-456789abcdef"),
    type: ShipOrder,
    ExpectedVersion: ExpectedVersion.exactly(3),
    Sequence[str]: ("one", "two"),
    Sequence[WiringFault]: (FAULT,),
}


def sample(name: str, annotation: object) -> object:
    """Return a value for a parameter called *name*."""
    return f"some {name}" if annotation in (str, str | None) else SAMPLES[annotation]


def subclasses_of(root: type[HeadwaterError]) -> Iterator[type[HeadwaterError]]:
    yield root
    for child in root.__subclasses__():
        yield from subclasses_of(child)


ERRORS = sorted(
    {cls for cls in subclasses_of(HeadwaterError) if cls.__module__ == errors.__name__},
    key=lambda cls: cls.__name__,
)


def values_of(cls: type[HeadwaterError]) -> dict[str, object]:
    """Return an argument for each parameter of *cls*."""
    if not inspect.isfunction(cls.__init__):  # inherited from Exception: it takes a text
        return {}
    hints = get_type_hints(cls.__init__, localns={"ExpectedVersion": ExpectedVersion})
    return {name: sample(name, hint) for name, hint in hints.items() if name != "return"}


def make(cls: type[HeadwaterError]) -> HeadwaterError:
    """Return an error of *cls* with a value for each of its parameters."""
    values = values_of(cls)
    if not inspect.isfunction(cls.__init__):
        return cls("It went wrong.")
    parameters = inspect.signature(cls).parameters
    positional = [values[n] for n, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]
    keyword = {n: values[n] for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    return cls(*positional, **keyword)


@pytest.mark.parametrize("cls", ERRORS)
def test_an_error_survives_pickling(cls: type[HeadwaterError]) -> None:
    error = make(cls)
    error.add_note("seen on the way")

    copied = pickle.loads(pickle.dumps(error))

    assert type(copied) is cls
    assert str(copied) == str(error)
    assert copied.args == error.args
    assert repr(vars(copied)) == repr(vars(error))


@pytest.mark.parametrize("cls", ERRORS)
def test_an_error_can_be_copied(cls: type[HeadwaterError]) -> None:
    error = make(cls)

    copied = copy.copy(error)

    assert type(copied) is cls
    assert (str(copied), vars(copied)) == (str(error), vars(error))


@pytest.mark.parametrize("cls", [cls for cls in ERRORS if values_of(cls)])
def test_the_values_of_an_error_are_its_attributes(cls: type[HeadwaterError]) -> None:
    error = make(cls)

    for name, value in values_of(cls).items():
        assert value in (getattr(error, name, None), str(error)), name


def words_of(value: object) -> list[str]:
    """Return what of *value* a text about it should contain."""
    if isinstance(value, type):
        return [value.__name__]
    if isinstance(value, tuple):
        return [str(part) for part in cast("tuple[object, ...]", value)]
    return [str(value)]


@pytest.mark.parametrize("cls", [cls for cls in ERRORS if values_of(cls)])
def test_an_error_says_its_values(cls: type[HeadwaterError]) -> None:
    text, values = str(make(cls)), values_of(cls)

    if text in values.values():  # the caller's own words; what they say is the caller's duty
        return
    for value in values.values():
        for word in words_of(value):
            assert word in text


@pytest.mark.parametrize("cls", ERRORS)
def test_an_error_is_named_as_one_and_says_what_it_is(cls: type[HeadwaterError]) -> None:
    assert cls.__name__.endswith("Error")
    assert cls.__doc__


class OutOfStockError(RefusedError):
    """A refusal as users write it: its own arguments, one of them keyword-only."""

    def __init__(self, article: str, *, left: int) -> None:
        self.article, self.left = article, left
        super().__init__(f"{article} is out of stock: {left} left.")


def test_a_users_own_error_survives_pickling() -> None:
    error = OutOfStockError("Kind of Blue", left=0)

    copied = pickle.loads(pickle.dumps(error))

    assert str(copied) == "Kind of Blue is out of stock: 0 left."
    assert (copied.article, copied.left) == ("Kind of Blue", 0)


def test_an_error_survives_pickling_inside_an_exception_group() -> None:
    group = ExceptionGroup("two failed", [OutOfStockError("Blue", left=1), ValueError("x")])

    copied = pickle.loads(pickle.dumps(group))

    assert [str(error) for error in copied.exceptions] == [str(e) for e in group.exceptions]


def test_a_concurrency_error_says_what_to_do() -> None:
    error = ConcurrencyError("account-7", expected=ExpectedVersion.exactly(3), actual=4)

    assert str(error) == (
        "Stream 'account-7': expected version 3, found version 4. "
        "Reload the aggregate and decide again."
    )


def test_an_unknown_version_is_told_from_an_unknown_type() -> None:
    assert "no class is registered" in str(UnknownTypeError("sales.order-placed", 1))
    unknown = UnknownTypeError("sales.order-placed", 2, known=1)
    assert "this code knows 1" in str(unknown)


def test_an_unknown_type_is_told_with_its_place() -> None:
    unknown = UnknownTypeError("sales.order-placed", 2, known=1)

    placed = pickle.loads(pickle.dumps(unknown.at("sales.order-7", position=4)))

    assert "version 2 (position 4, stream 'sales.order-7'): this code knows 1" in str(placed)
    assert (placed.stream_id, placed.position, placed.version) == ("sales.order-7", 4, None)


def test_a_wiring_error_lists_all_its_faults() -> None:
    other = WiringFault("Two handle PayOrder.", where="shop.py:9", advice="Remove one.")

    error = WiringError([FAULT, other])

    assert str(error).splitlines() == [
        "2 fault(s) in the wiring:",
        "  - shop.py:7: Nothing handles ShipOrder. Write a handler.",
        "  - shop.py:9: Two handle PayOrder. Remove one.",
    ]


def test_a_storage_error_may_say_where() -> None:
    error = StorageBusyError("Locked for longer than 5 s.", where="shop.db")

    assert pickle.loads(pickle.dumps(error)).where == "shop.db"
    assert StorageBusyError("Locked.").where is None


def test_a_wait_that_timed_out_is_a_timeout_to_the_standard_library() -> None:
    assert issubclass(WaitTimeoutError, TimeoutError)


def test_only_a_change_by_somebody_else_is_a_conflict() -> None:
    conflicts = [cls.__name__ for cls in ERRORS if issubclass(cls, ConflictError)]

    assert conflicts == [
        "ConcurrencyError",
        "ConflictError",
        "RowConflictError",
        "TagConditionError",
    ]
