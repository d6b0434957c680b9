"""Collections: rows by key or by indexed fields, written within a unit."""

from decimal import Decimal
from types import new_class

import pytest

from headwater.domain.read_model import ReadModel
from headwater.errors import (
    ConfigurationError,
    DuplicateValueError,
    LimitExceededError,
    RoundTripError,
    RowConflictError,
    UnitOfWorkError,
)
from headwater.unit_of_work.collection import FIND_ROWS_MAX
from headwater.unit_of_work.row_type import where
from headwater.unit_of_work.units import Units
from tests.unit_of_work.shop import Product

PRICES = {"apple": "2.50", "pear": "10", "plum": "0.35", "quince": "2.5", "debt": "-3"}


async def stocked(units: Units) -> None:
    async with units.unit_of_work() as unit:
        products = unit.collection(Product)
        for name, price in PRICES.items():
            products.put(Product(name[:2], name, Decimal(price)))


async def names(units: Units, *filters: object, **options: object) -> list[str]:
    found = await units.new(reads_only=True).collection(Product).find(*filters, **options)  # type: ignore[arg-type] # passed on as they are
    return [product.name for product in found]


async def test_a_unit_sees_its_own_writes_by_key_and_others_see_them_committed(
    units: Units,
) -> None:
    apple = Product("ap", "apple", Decimal("2.50"))
    async with units.unit_of_work() as unit:
        products = unit.collection(Product)
        products.put(apple)
        assert await products.get("ap") == apple
        assert await products.count() == 0
        assert await units.new().collection(Product).get("ap") is None

    assert await units.new().collection(Product).get("ap") == apple


async def test_a_deleted_row_is_gone_and_deleting_again_is_no_error(units: Units) -> None:
    await stocked(units)
    async with units.unit_of_work() as unit:
        unit.collection(Product).delete("ap")
        assert await unit.collection(Product).get("ap") is None

    async with units.unit_of_work() as unit:
        unit.collection(Product).delete("ap")

    assert await units.new().collection(Product).count() == 4


async def test_decimals_are_found_and_sorted_as_numbers(units: Units) -> None:
    await stocked(units)

    by_price = await names(units, order_by=("price", "name"))
    equal = await names(units, price=Decimal("2.500"), order_by="-name")
    between = await names(
        units, where("price") > Decimal("0.35"), where("price") <= Decimal(10), order_by="-price"
    )

    assert by_price == ["debt", "plum", "apple", "quince", "pear"]
    assert equal == ["quince", "apple"]
    assert between[0] == "pear"
    assert set(between[1:]) == {"apple", "quince"}


async def test_pages_follow_one_another(units: Units) -> None:
    await stocked(units)

    pages = [await names(units, order_by="name", limit=2, offset=offset) for offset in (0, 2, 4, 6)]

    assert pages == [["apple", "debt"], ["pear", "plum"], ["quince"], []]


async def test_one_of_and_unequal(units: Units) -> None:
    await stocked(units)

    assert await names(units, where("name").one_of(["pear", "nothing"])) == ["pear"]
    assert await names(units, where("name").one_of([])) == []
    assert len(await names(units, where("name") != "pear")) == 4


async def test_a_field_that_is_not_indexed_is_refused_by_name(units: Units) -> None:
    with pytest.raises(ConfigurationError, match=r"Product\.sku is not indexed.*price, name"):
        await names(units, sku="ap")


async def test_a_decimal_field_can_be_compared_with_a_whole_number(units: Units) -> None:
    await stocked(units)

    assert await names(units, where("price") >= 10) == ["pear"]


async def test_a_value_that_a_field_can_not_be_compared_with_is_refused(units: Units) -> None:
    with pytest.raises(ConfigurationError, match=r"Product\.price can't be compared with 'ten'"):
        await names(units, where("price") > "ten")
    with pytest.raises(ConfigurationError, match="use a value of the field's own type"):
        await names(units, where("price").one_of([Decimal(1), 2.5j]))


async def test_what_was_read_is_compared_at_the_commit(units: Units) -> None:
    await stocked(units)
    unit = units.new()
    apple = await unit.collection(Product).get("ap")
    assert apple is not None
    unit.collection(Product).put(Product("ap", "apple", apple.price + 1))
    async with units.unit_of_work() as other:
        other.collection(Product).put(Product("ap", "apple", Decimal(9)))

    with pytest.raises(RowConflictError):
        await unit.commit()


async def test_a_row_that_was_only_read_is_guarded_when_something_is_written(
    units: Units,
) -> None:
    await stocked(units)
    unit = units.new()
    await unit.collection(Product).get("ap")
    unit.collection(Product).put(Product("zz", "zucchini", Decimal(1)))
    async with units.unit_of_work() as other:
        other.collection(Product).delete("ap")

    with pytest.raises(RowConflictError):
        await unit.commit()


async def test_a_unique_value_is_taken_once(units: Units) -> None:
    await stocked(units)

    with pytest.raises(DuplicateValueError, match="'apple' is taken"):
        async with units.unit_of_work() as unit:
            unit.collection(Product).put(Product("zz", "apple", Decimal(1)))


async def test_a_row_that_would_not_come_back_equal_is_refused(units: Units) -> None:
    unit = units.new()

    with pytest.raises(RoundTripError):
        unit.collection(Product).put(Product("ap", "apple", 2.5))  # type: ignore[arg-type] # the point


async def test_a_reading_unit_refuses_rows(units: Units) -> None:
    with pytest.raises(UnitOfWorkError, match="query collects nothing"):
        units.new(reads_only=True).collection(Product).put(Product("a", "b", Decimal(1)))


def test_a_read_model_names_its_key() -> None:
    with pytest.raises(ConfigurationError, match="Keyless has no key"):
        new_class("Keyless", (ReadModel,))

    with pytest.raises(ConfigurationError, match="names 'nmae'"):
        new_class("Misspelt", (ReadModel,), {"key": "nmae"})


async def test_rows_beyond_the_limit_are_not_left_out_in_silence(units: Units) -> None:
    async with units.unit_of_work() as unit:
        for n in range(FIND_ROWS_MAX):
            unit.collection(Product).put(Product(f"{n:04}", f"product {n}", Decimal(1)))
    assert len(await names(units)) == FIND_ROWS_MAX

    async with units.unit_of_work() as unit:
        unit.collection(Product).put(Product("more", "one more", Decimal(1)))

    with pytest.raises(LimitExceededError, match="Product rows found without a limit"):
        await names(units)
    assert len(await names(units, limit=FIND_ROWS_MAX + 1)) == FIND_ROWS_MAX + 1
