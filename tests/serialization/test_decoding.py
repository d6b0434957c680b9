"""Decoding, raw events, values and digests."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from headwater.errors import (
    InvalidNameError,
    LimitExceededError,
    MessageTypeError,
    RoundTripError,
    SerializationError,
    UnknownTypeError,
)
from headwater.messages import Event, RawEvent
from headwater.serialization.codec import EventCodec
from tests.serialization.examples import (
    Box,
    Card,
    Everything,
    OrderPlaced,
    Paid,
    PaidBack,
    Signup,
)
from tests.serialization.orders import ORDER, Chain


class OldShape(Event, name="shape", version=1):
    text: str


class NewShape(Event, name="shape", version=3):
    text: str
    added: int = 5


class Checked(Event):
    amount: int

    def __post_init__(self) -> None:
        if self.amount > 100:
            raise ValueError("more than a hundred")


def test_an_unknown_type_is_told_from_a_bad_one(codec: EventCodec) -> None:
    with pytest.raises(UnknownTypeError, match="no class is registered") as caught:
        codec.decode("sales.never-seen", 1, "{}")

    assert (caught.value.name, caught.value.known) == ("sales.never-seen", None)


def test_a_newer_schema_version_is_unknown_and_an_older_one_is_read(codec: EventCodec) -> None:
    codec.registry.register(NewShape)

    with pytest.raises(UnknownTypeError, match="version 4: this code knows 3"):
        codec.decode("sales.shape", 4, '{"text":"x"}')

    assert codec.decode("sales.shape", 1, '{"text":"x"}') == NewShape("x", 5)


def test_a_type_that_is_registered_later_is_known_from_then_on(codec: EventCodec) -> None:
    with pytest.raises(UnknownTypeError):
        codec.decode("sales.shape", 1, '{"text":"x"}')

    codec.registry.register(OldShape)

    assert codec.decode("sales.shape", 1, '{"text":"x"}') == OldShape("x")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"text":1}', r"Expected `str`, got `int` - at `\$.text`"),
        ("{}", "missing required field `text`"),
        ('{"text":"\\ud800"}', "truncated|surrogate"),
        ('{"text":"x","added":1e999}', "Number out of range|Expected"),
    ],
)
def test_data_of_another_shape_is_an_error_with_type_and_problem(
    codec: EventCodec, data: str, said: str
) -> None:
    codec.registry.register(NewShape)

    with pytest.raises(SerializationError, match=rf"'sales\.shape' version 3 .*({said})"):
        codec.decode("sales.shape", 3, data)


def test_what_a_class_itself_refuses_is_a_serialization_error(codec: EventCodec) -> None:
    codec.registry.register(Checked)

    with pytest.raises(SerializationError, match="more than a hundred"):
        codec.decode("sales.checked", 1, '{"amount":101}')


def test_depth_without_end_is_an_error_and_no_crash(codec: EventCodec) -> None:
    codec.registry.register(Chain)
    deep = '{"next":' * 50_000 + "null" + "}" * 50_000

    with pytest.raises(SerializationError, match="recursion"):
        codec.decode("sales.chain", 1, deep)


def test_a_decoder_of_one_type_does_what_decode_does(codec: EventCodec) -> None:
    name, version, data = codec.encode(ORDER)
    decode = codec.decoder_for(name, version)

    assert decode(data) == codec.decode(name, version, data) == ORDER
    assert codec.decoder_for(name, version) is decode
    with pytest.raises(SerializationError, match=r"'sales\.order-placed'"):
        decode("[]")


def test_a_stored_event_is_decoded_by_its_attributes(codec: EventCodec) -> None:
    class Stored(msgspec.Struct, frozen=True):
        type: str
        schema_version: int
        data: str

    assert codec.decode_stored(Stored(*codec.encode(ORDER))) == ORDER


def test_a_raw_event_is_stored_as_it_stands(codec: EventCodec) -> None:
    raw = RawEvent("legacy.order-made", b'{"b": 1.10,\n "a": [null]}', 4)

    assert codec.encode(raw) == ("legacy.order-made", 4, '{"b": 1.10,\n "a": [null]}')


@pytest.mark.parametrize(
    "data", [b"", b"{", b"NaN", b"{'a':1}", b'"\xff"', b"\xef\xbb\xbf{}", b"{} {}", b'"\x01"']
)
def test_a_raw_event_that_is_no_json_is_refused(codec: EventCodec, data: bytes) -> None:
    with pytest.raises(SerializationError, match=r"'legacy\.x' is not JSON"):
        codec.encode(RawEvent("legacy.x", data))


def test_a_raw_event_needs_a_type_name_and_a_schema_version(codec: EventCodec) -> None:
    with pytest.raises(InvalidNameError, match="type name"):
        codec.encode(RawEvent("no name", b"{}"))
    with pytest.raises(SerializationError, match="1 or more, not 0"):
        codec.encode(RawEvent("legacy.x", b"{}", 0))


def test_a_raw_event_of_a_known_type_must_have_its_shape(codec: EventCodec) -> None:
    codec.registry.register(NewShape)

    with pytest.raises(SerializationError, match="missing required field `text`"):
        codec.encode(RawEvent("sales.shape", b"{}", 3))

    assert codec.encode(RawEvent("sales.shape", b"{}", 4)) == ("sales.shape", 4, "{}")


def test_a_raw_event_of_an_old_version_must_be_readable(codec: EventCodec) -> None:
    codec.registry.register(NewShape)

    with pytest.raises(SerializationError, match="version 2 would be stored, and could not be"):
        codec.encode(RawEvent("sales.shape", b"{}", 2))


def test_a_raw_event_is_nested_up_to_the_limit(codec: EventCodec) -> None:
    brackets = b'"[[[[\\"[[["'
    most = b"[" * 100 + brackets + b"]" * 100

    assert codec.encode(RawEvent("legacy.x", most))[2] == most.decode()
    with pytest.raises(LimitExceededError, match=r"nested levels .*101, the limit is 100"):
        codec.encode(RawEvent("legacy.x", b"[" + most + b"]"))


@pytest.mark.parametrize(
    ("value", "of"),
    [
        (None, None),
        (UUID(int=3), UUID),
        (Decimal("1.00"), Decimal),
        ([ORDER], list[OrderPlaced]),
        (ORDER, OrderPlaced | None),
        (None, OrderPlaced | None),
        ({"a": (1, "x")}, dict[str, tuple[int, str]]),
        (Signup(eMail="x"), Signup),
    ],
)
def test_values_of_any_type_come_back(codec: EventCodec, value: object, of: Any) -> None:
    text = codec.encode_value(value, of, exact=True)

    assert codec.decode_value(text, of) == value


def test_an_inexact_value_is_refused_where_exactness_is_asked_for(codec: EventCodec) -> None:
    assert codec.encode_value((1,), list[int]) == "[1]"
    with pytest.raises(RoundTripError, match=r"tuple: \(1,\) \(tuple\) came back as \[1\]"):
        codec.encode_value((1,), list[int], exact=True)
    with pytest.raises(RoundTripError, match="Expected `int`, got `str`"):
        codec.encode_value("x", int, exact=True)
    with pytest.raises(RoundTripError, match="can't be written as JSON"):
        codec.encode_value(object(), int)


def test_a_stored_value_of_another_shape_is_an_error(codec: EventCodec) -> None:
    with pytest.raises(SerializationError, match="Expected `int`, got `str`"):
        codec.decode_value('"x"', int)


def test_a_value_type_that_can_not_be_read_back_is_refused(codec: EventCodec) -> None:
    with pytest.raises(MessageTypeError, match="has no JSON form"):
        codec.encode_value(3, Callable[[], int])


def test_equal_messages_have_one_digest_and_others_another(codec: EventCodec) -> None:
    digest = codec.digest(ORDER)

    assert len(digest) == 16
    assert digest == codec.digest(msgspec.structs.replace(ORDER))
    assert digest != codec.digest(msgspec.structs.replace(ORDER, total=Decimal("19.8")))
    assert codec.digest(Card("1")) != codec.digest(Box("1"))


def test_the_order_of_sets_and_dicts_does_not_change_a_digest(codec: EventCodec) -> None:
    ascending, descending = list(range(50)), list(range(49, -1, -1))

    first = Everything(numbers=frozenset(ascending), by_number={n: [] for n in ascending})
    second = Everything(numbers=frozenset(descending), by_number={n: [] for n in descending})

    assert codec.digest(first) == codec.digest(second)


def test_foreign_messages_have_a_digest(codec: EventCodec) -> None:
    assert codec.digest(Signup(eMail="x")) == codec.digest(Signup(eMail="x"))
    assert codec.digest(Paid(UUID(int=1), Decimal(1))) != codec.digest(
        PaidBack(UUID(int=1), Decimal(1))
    )


def test_a_message_that_can_not_be_written_has_no_digest(codec: EventCodec) -> None:
    with pytest.raises(SerializationError, match="can't be written as JSON"):
        codec.digest(Everything(anything=object()))
