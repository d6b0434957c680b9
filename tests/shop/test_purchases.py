"""Reading purchases: what is one, what is not, and that a bad line costs nothing else."""

import io
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from examples.shop.intake.ids import email_of, order_id_of
from examples.shop.intake.purchases import (
    LINE_BYTES_MAX,
    InputError,
    Purchase,
    Rejected,
    read_purchases,
)

HEADER = b"customer_id,date,cds,dollars\n"
GOOD = b"00001,1997-01-31,2,11.77\n"


def read(content: bytes) -> list[Purchase | Rejected]:
    return list(read_purchases(io.BytesIO(content)))


def purchase(line: int) -> Purchase:
    return Purchase(line, "00001", date(1997, 1, 31), 2, Decimal("11.77"))


@pytest.mark.parametrize(
    "content",
    [
        HEADER + GOOD,
        b"\xef\xbb\xbf" + HEADER + GOOD,
        (HEADER + GOOD).replace(b"\n", b"\r\n"),
        HEADER + GOOD.rstrip(),
        b"Dollars, CDS, date, customer_id, shop\n11.77,2,1997-01-31,00001,web\n",
        b'customer_id,date,cds,dollars\n"00001","1997-01-31",2,"11.77"\n',
    ],
)
def test_csv_may_look_different(content: bytes) -> None:
    assert read(content) == [purchase(2)]


def test_blank_lines_are_nothing_but_counted() -> None:
    assert read(b"\n" + HEADER + b"\r\n  \n" + GOOD) == [purchase(5)]


@pytest.mark.parametrize("dollars", [b"11.77", b'"11.77"'])
def test_json_lines_are_read_too(dollars: bytes) -> None:
    line = b'{"date": "1997-01-31", "customer_id": "00001", "cds": 2, "dollars": %b}\n' % dollars

    assert read(b"\n" + line + line) == [purchase(2), purchase(3)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"00001,1997-01-31,2", "3 fields instead of 4"),
        (b"00001,1997-01-31,2,1,1.00", "5 fields instead of 4"),
        (b'"00001,1997-01-31,2,1.00', "not CSV"),
        (b"\xff\xfe,1997-01-31,2,1.00", "not text: byte 1 is not UTF-8"),
        (b"00001,1997-02-30,2,1.00", "date '1997-02-30' is no day"),
        (b"00001,19970131,2,1.00", "date '19970131' is no day"),
        (b"00001,1997-01-31,0,1.00", "cds 0 is not in 1 to"),
        (b"00001,1997-01-31,two,1.00", "cds 'two' is no whole number"),
        (b"00001,1997-01-31,2,-1.00", "dollars '-1.00' is no amount"),
        (b"00001,1997-01-31,2,NaN", "dollars 'NaN' is no amount"),
        (b"00001,1997-01-31,2,1e3", "dollars '1e3' is no amount"),
        (b"00001,1997-01-31,2,1.001", "dollars '1.001' is no amount"),
        (b"00001,1997-01-31,2,1000000.01", "dollars 1000000.01 is more than"),
        (b",1997-01-31,2,1.00", "customer_id '' is not 1 to 64"),
        (b"a\x00b,1997-01-31,2,1.00", "customer_id 'a\\x00b' is not"),
        (b"x" * (3 * LINE_BYTES_MAX), f"longer than {LINE_BYTES_MAX} bytes"),
    ],
)
def test_a_bad_line_is_told_and_costs_nothing_else(bad: bytes, reason: str) -> None:
    first, rejected, last = read(HEADER + GOOD + bad + b"\n" + GOOD)

    assert (first, last) == (purchase(2), purchase(4))
    assert isinstance(rejected, Rejected)
    assert rejected.line == 3
    assert rejected.reason.startswith(reason)


@pytest.mark.parametrize(
    "bad", [b"{", b"[1]", b'{"customer_id": "1"}', b'{"cds": 1.5}', b"{" * LINE_BYTES_MAX]
)
def test_a_bad_json_line_is_told_and_costs_nothing_else(bad: bytes) -> None:
    good = b'{"date": "1997-01-31", "customer_id": "00001", "cds": 2, "dollars": 11.77}\n'

    first, rejected, last = read(good + bad + b"\n" + good)

    assert (first, last) == (purchase(1), purchase(3))
    assert isinstance(rejected, Rejected)


@pytest.mark.parametrize(
    "content", [GOOD, b"customer_id,date,cds\n", HEADER[:-1] + b",cds\n", b"\xff\n", b"x" * 9999]
)
def test_an_input_without_a_header_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="line 1: "):
        read(content)


def test_an_empty_input_has_no_purchases() -> None:
    assert read(b"") == read(HEADER) == []


def test_equal_lines_are_purchases_of_their_own() -> None:
    assert order_id_of(purchase(2)) == order_id_of(purchase(2))
    assert order_id_of(purchase(2)) < order_id_of(purchase(3))


def test_no_two_customers_get_one_address() -> None:
    def addresses() -> Iterator[str]:
        yield from map(email_of, ("aa", "AA", "6161", "a a", "ä", "customer.aa"))

    assert len({address.lower() for address in addresses()}) == 6
