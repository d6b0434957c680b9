"""The shop's input is the whole CDNOW data set, as its README says."""

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from examples.shop.data.convert import HEADER, converted

DATA = Path(__file__).parents[2] / "examples" / "shop" / "data"


@pytest.fixture(scope="module")
def purchases() -> list[dict[str, str]]:
    with (DATA / "cdnow.csv").open(newline="", encoding="ascii") as file:
        return list(csv.DictReader(file))


def test_every_purchase_is_there(purchases: list[dict[str, str]]) -> None:
    assert len(purchases) == 69_659
    assert len({purchase["customer_id"] for purchase in purchases}) == 23_570
    assert sum(int(purchase["cds"]) for purchase in purchases) == 167_881
    assert sum(Decimal(purchase["dollars"]) for purchase in purchases) == Decimal("2500315.63")


def test_every_field_has_its_form(purchases: list[dict[str, str]]) -> None:
    days = [date.fromisoformat(purchase["date"]) for purchase in purchases]

    assert tuple(purchases[0]) == HEADER
    assert (min(days), max(days)) == (date(1997, 1, 1), date(1998, 6, 30))
    assert all(purchase["customer_id"].isdigit() for purchase in purchases)
    assert all(purchase["dollars"][-3] == "." for purchase in purchases)


def test_the_conversion_changes_nothing_but_the_form() -> None:
    published = [
        " customer_id  date number_of_cds  dollar_value\r\n",
        " 00001 19970101  1   11.77\r\n",
        " 00002 19970112  5   77.00\r\n",
        "\r\n",
    ]

    rows = list(converted(published))

    assert rows == [
        ("00001", "1997-01-01", "1", "11.77"),
        ("00002", "1997-01-12", "5", "77.00"),
    ]


def test_the_conversion_refuses_a_date_that_is_none() -> None:
    with pytest.raises(ValueError, match="day is out of range"):
        list(converted(["header\n", " 00001 19970231  1   11.77\n"]))
