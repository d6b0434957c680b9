"""Reads purchases from CSV or JSON Lines, line by line; a bad line costs nothing else."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import BinaryIO, Final

import msgspec

LINE_BYTES_MAX: Final = 4096
CUSTOMER_ID_LENGTH_MAX: Final = 64
CDS_MAX: Final = 9999
DOLLARS_MAX: Final = Decimal(1_000_000)
SHOWN_LENGTH_MAX: Final = 40

FIELDS: Final = ("customer_id", "date", "cds", "dollars")

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COUNT = re.compile(r"[0-9]{1,9}")
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")

Parse = Callable[[str], Mapping[str, str]]


class Purchase(msgspec.Struct, frozen=True):
    """One line of the input."""

    line: int
    customer_id: str
    day: date
    cds: int
    dollars: Decimal


class Rejected(msgspec.Struct, frozen=True):
    """A line that is no purchase, and why."""

    line: int
    reason: str


class InputError(Exception):
    """The input as a whole can't be read."""


class _BadLineError(Exception):
    """A line that is no purchase; the text says why."""


def read_purchases(file: BinaryIO) -> Iterator[Purchase | Rejected]:
    """Yield what each line of *file* is; blank lines are nothing. Memory stays flat.

    If the first line begins with ``{``, all are JSON objects with the members of `FIELDS`; else
    it is the header of a CSV file, with the names of `FIELDS` in any order.

    Raises:
        InputError: the first line is neither.
    """
    parse: Parse | None = None
    for number, raw in _lines(file):
        if not raw.strip():
            continue
        if parse is None and not raw.lstrip().startswith(b"{"):
            parse = _csv_parser(number, raw)
            continue
        parse = parse or _parse_json
        try:
            yield _purchase(number, parse(_text(raw)))
        except _BadLineError as error:
            yield Rejected(number, str(error))


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its number; of one that is too long, enough to see that it is."""
    number = 0
    while raw := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        rest = raw
        while rest and not rest.endswith(b"\n") and len(rest) > LINE_BYTES_MAX:
            rest = file.readline(LINE_BYTES_MAX + 1)
        yield number, raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw


def _text(raw: bytes) -> str:
    if len(raw) > LINE_BYTES_MAX:
        raise _BadLineError(f"longer than {LINE_BYTES_MAX} bytes")
    try:
        return raw.decode().strip()
    except UnicodeDecodeError as error:
        raise _BadLineError(f"not text: byte {error.start + 1} is not UTF-8") from None


def _csv_parser(number: int, raw: bytes) -> Parse:
    try:
        columns = [name.strip().lower() for name in _cells(_text(raw))]
    except _BadLineError as error:
        raise InputError(f"line {number}: {error}; it should be a header") from None
    missing = [name for name in FIELDS if name not in columns]
    if missing or len(set(columns)) < len(columns):
        raise InputError(
            f"line {number}: {', '.join(columns)[:200]!r} is no header; write "
            f"{','.join(FIELDS)!r}, or give JSON Lines with these members"
        )

    def parse(text: str) -> Mapping[str, str]:
        cells = _cells(text)
        if len(cells) != len(columns):
            raise _BadLineError(f"{len(cells)} fields instead of {len(columns)}")
        return dict(zip(columns, cells, strict=True))

    return parse


def _cells(text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise _BadLineError(f"not CSV: {error}") from None


class _JsonLine(msgspec.Struct):
    customer_id: str | int
    date: str
    cds: int
    dollars: Decimal


def _parse_json(text: str) -> Mapping[str, str]:
    try:
        line = msgspec.json.decode(text, type=_JsonLine)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _BadLineError(f"not as it should be: {error}") from None
    return {
        "customer_id": str(line.customer_id),
        "date": line.date,
        "cds": str(line.cds),
        "dollars": str(line.dollars),
    }


def _purchase(number: int, fields: Mapping[str, str]) -> Purchase:
    customer_id, day, cds, dollars = (fields[name].strip() for name in FIELDS)
    if not 0 < len(customer_id) <= CUSTOMER_ID_LENGTH_MAX or not customer_id.isprintable():
        raise _BadLineError(
            f"customer_id {_shown(customer_id)} is not 1 to {CUSTOMER_ID_LENGTH_MAX} "
            f"printable characters"
        )
    return Purchase(number, customer_id, _day(day), _cds(cds), _dollars(dollars))


def _day(text: str) -> date:
    try:
        # The pattern first: fromisoformat takes 19970101 and 1997-W01-1 too.
        return date.fromisoformat(_matched(_DAY, text))
    except ValueError:
        raise _BadLineError(f"date {_shown(text)} is no day such as 1997-01-31") from None


def _cds(text: str) -> int:
    try:
        cds = int(_matched(_COUNT, text))
    except ValueError:
        raise _BadLineError(f"cds {_shown(text)} is no whole number from 1 on") from None
    if not 1 <= cds <= CDS_MAX:
        raise _BadLineError(f"cds {cds} is not in 1 to {CDS_MAX}")
    return cds


def _dollars(text: str) -> Decimal:
    try:
        dollars = Decimal(_matched(_AMOUNT, text))
    except ValueError:
        raise _BadLineError(
            f"dollars {_shown(text)} is no amount from 0 on with at most two decimals"
        ) from None
    if dollars > DOLLARS_MAX:
        raise _BadLineError(f"dollars {dollars} is more than {DOLLARS_MAX}")
    return dollars


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(text)
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_LENGTH_MAX else text[:SHOWN_LENGTH_MAX] + "…")
