"""Upcasters that don't fit together are found before anything is read, all at once."""

from typing import Any, cast

import pytest

from headwater.messages import Event
from headwater.serialization import TypeRegistry, UpcastChains, Upcasters, upcast_faults


class Placed(Event, name="sales.order-placed", version=3):
    order: str


class Created(Event, name="sales.customer-created"):
    name: str


def problems(upcasters: Upcasters, *types: type) -> list[str]:
    registry = TypeRegistry()
    for cls in types:
        registry.register(cls)
    return [str(fault) for fault in upcast_faults(UpcastChains(upcasters), registry)]


@pytest.fixture
def upcasters() -> Upcasters:
    return Upcasters()


def test_a_whole_chain_has_no_fault(upcasters: Upcasters) -> None:
    upcasters.change_fields("sales.order-placed", version=1)
    upcasters.change_fields("sales.order-placed", version=2)
    upcasters.rename_event("sales.order-made", to="sales.order-placed")
    upcasters.drop_event("sales.cart-viewed", version=1)
    upcasters.drop_event("sales.cart-viewed", version=2)

    assert problems(upcasters, Placed) == []


def test_a_step_may_leap_over_versions_that_have_one_of_their_own(upcasters: Upcasters) -> None:
    upcasters.change_fields("sales.order-placed", version=1, to=("sales.order-placed", 3))
    upcasters.change_fields("sales.order-placed", version=2)

    assert problems(upcasters, Placed) == []


def test_two_upcasters_for_one_form_are_a_fault_that_names_both(upcasters: Upcasters) -> None:
    upcasters.rename_event("sales.client-created", to="sales.customer-created")
    upcasters.drop_event("sales.client-created")

    (problem,) = problems(upcasters, Created)

    assert "a second upcaster reads 'sales.client-created' version 1; the first is at" in problem
    assert problem.count("test_upcasting_faults.py:") == 2


def test_the_same_table_included_twice_is_no_second_upcaster(upcasters: Upcasters) -> None:
    upcasters.rename_event("sales.client-created", to="sales.customer-created")
    both = Upcasters()

    both.include(upcasters, upcasters)

    assert len(both) == 1
    assert problems(both, Created) == []


@pytest.mark.parametrize(("made", "missing"), [(1, 2), (2, 1)])
def test_a_version_without_upcaster_between_others_is_a_gap(
    upcasters: Upcasters, made: int, missing: int
) -> None:
    upcasters.change_fields("sales.order-placed", version=made)

    (problem,) = problems(upcasters, Placed)

    assert f"'sales.order-placed' version {missing} has no upcaster" in problem
    assert "the class Placed is version 3" in problem
    assert f"change_fields('sales.order-placed', version={missing})" in problem


def test_a_type_without_class_has_no_gaps_below_its_newest_upcaster(upcasters: Upcasters) -> None:
    upcasters.drop_event("sales.cart-viewed", version=1)
    upcasters.drop_event("sales.cart-viewed", version=3)

    (problem,) = problems(upcasters)

    assert "'sales.cart-viewed' version 2 has no upcaster" in problem


def test_a_target_that_nobody_knows_is_a_fault(upcasters: Upcasters) -> None:
    upcasters.rename_event("sales.client-created", to="sales.customer-craeted")

    (problem,) = problems(upcasters, Created)

    assert "makes 'sales.customer-craeted' version 1, which nobody knows" in problem


def test_a_target_newer_than_its_class_says_which_version_to_give_it(
    upcasters: Upcasters,
) -> None:
    upcasters.change_fields("sales.customer-created", version=1, rename={"full_name": "name"})

    (problem,) = problems(upcasters, Created)

    assert "but Created is version 1" in problem
    assert "version=2" in problem


@pytest.mark.parametrize("versions", [(1,), (1, 2)])
def test_circles_are_found_once_each(upcasters: Upcasters, versions: tuple[int, ...]) -> None:
    for version in versions:
        upcasters.rename_event("sales.a", version=version, to=("sales.b", version))
        upcasters.rename_event("sales.b", version=version, to=("sales.a", version))
    upcasters.rename_event("sales.c", to="sales.a")

    found = problems(upcasters)

    assert len(found) == len(versions)
    assert all("lead in a circle" in problem for problem in found)
    assert "'sales.a' version 1 → 'sales.b' version 1 → 'sales.a' version 1" in found[0]


def test_an_async_upcaster_is_a_fault(upcasters: Upcasters) -> None:
    async def changed(data: dict[str, Any]) -> dict[str, Any]:
        return data

    upcasters.upcaster("sales.client-created", version=1, to="sales.customer-created")(
        cast("Any", changed)
    )

    (problem,) = problems(upcasters, Created)

    assert "is async" in problem


def test_all_faults_come_at_once(upcasters: Upcasters) -> None:
    upcasters.rename_event("sales.a", to="sales.b")
    upcasters.rename_event("sales.b", to="sales.a")
    upcasters.drop_event("sales.b")
    upcasters.change_fields("sales.order-placed", version=1)
    upcasters.rename_event("sales.c", to="sales.nowhere")

    assert len(problems(upcasters, Placed)) == 4
