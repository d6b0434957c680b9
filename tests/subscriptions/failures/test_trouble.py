"""What is kept of an error is short, can be stored everywhere, and tells no values."""

import json

import msgspec
import pytest

from headwater.operations.dead_letters.deliveries import (
    DeliveryState,
    HeldDelivery,
    delivery_id,
    delivery_of,
    delivery_row,
)
from headwater.ports.changes import Changes
from headwater.ports.limits import check_sizes
from headwater.ports.rows import Row
from headwater.serialization.personal import addressees
from headwater.subscriptions.failures.trouble import (
    MESSAGE_CHARS_MAX,
    PLACE_CHARS_MAX,
    TRACEBACK_CHARS_MAX,
    trouble_of,
)


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raised(error: Exception) -> Exception:
    password = "hunter2"
    try:
        if password:
            raise error
    except type(error) as caught:
        return caught
    raise AssertionError


def test_it_tells_the_innermost_place_outside_of_the_library() -> None:
    trouble = trouble_of(raised(ValueError("no")))

    assert trouble.error == "ValueError"
    assert trouble.place.startswith("tests/subscriptions/failures/test_trouble.py:")
    assert trouble.place.endswith(" raised")


def test_of_what_was_raised_in_the_library_it_tells_where_the_cause_came_from() -> None:
    wrapped = ExceptionGroup("several", [ValueError()])
    wrapped.__cause__ = raised(KeyError("x"))

    assert trouble_of(wrapped).place.endswith(" raised")
    assert trouble_of(ValueError("never raised")).place == ""


def test_its_traceback_has_no_values_of_variables() -> None:
    trouble = trouble_of(raised(ValueError("no")))

    lines = [line for line in trouble.traceback.splitlines() if "password = " not in line]
    assert not any("hunter2" in line for line in lines)
    assert "in raised" in trouble.traceback


def test_what_is_huge_is_cut_in_its_middle() -> None:
    error: Exception = ValueError("x" * 10_000_000)
    for _ in range(500):
        following = RuntimeError("y" * 1000)
        following.__cause__ = error
        error = following

    trouble = trouble_of(error)
    message = trouble_of(ValueError("a" + "x" * 10_000 + "z")).message

    assert len(trouble.traceback) <= TRACEBACK_CHARS_MAX
    assert len(message) <= MESSAGE_CHARS_MAX
    assert (message[0], message[-1]) == ("a", "z")
    assert "characters left out" in message


def test_what_can_not_be_stored_or_said_is_written_otherwise() -> None:
    trouble = trouble_of(ValueError("nul \0, half a pair \ud83d, München 🚆"))

    assert trouble.message == "nul \\0, half a pair \\ud83d, München 🚆"
    assert "RuntimeError" in trouble_of(UnspeakableError()).message
    assert trouble_of(raised(UnspeakableError())).place.endswith(" raised")


def test_causes_that_go_in_a_circle_come_to_an_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first

    assert trouble_of(first).error == "ValueError"


def test_errors_of_other_libraries_have_their_place_there() -> None:
    with pytest.raises(ValueError, match="property name") as caught:
        json.loads("{")
    trouble = trouble_of(caught.value)

    assert trouble.place.startswith("json/decoder.py:")
    assert len(trouble.place) <= PLACE_CHARS_MAX


def test_a_row_of_the_longest_names_fits_every_storage() -> None:
    record = held_delivery(key="ü" * 512, subscription="s" * 1000, position=2**62)

    row = delivery_row(record)

    check_sizes(Changes(rows=(row,)))
    assert delivery_of(Row(row.key, 1, row.data or "")) == record


def test_ids_of_other_keys_are_other_ids() -> None:
    assert delivery_id("a", "bc", 1) != delivery_id("ab", "c", 1)
    assert delivery_id("a", "b", 1) != delivery_id("a", "b", 2)


def test_what_errors_say_of_a_person_is_for_that_person_alone() -> None:
    record = held_delivery(subjects=("ada",), message="mail to ada@example.org")

    data = delivery_row(record).data or ""

    assert addressees(data) == {"ada"}
    # Whoever can't unpack it reads the rest.
    rest = delivery_of(Row(record.id, 1, data))
    assert (rest.key, rest.state, rest.message) == ("box-a", DeliveryState.DEAD, "")
    assert "ada@example.org" not in msgspec.json.encode(rest).decode()


def held_delivery(
    *,
    key: str = "box-a",
    subscription: str = "mail",
    position: int = 1,
    subjects: tuple[str, ...] = (),
    message: str = "no",
) -> HeldDelivery:
    return HeldDelivery(
        subscription,
        key,
        position,
        "00" * 16,
        key,
        "mail.sent",
        DeliveryState.DEAD,
        1,
        error="ValueError",
        message=message,
        subjects=subjects,
    )
