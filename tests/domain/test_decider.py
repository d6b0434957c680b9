"""Deciders: two pure functions and a first state."""

import pytest

from headwater.domain import Decider
from headwater.errors import ApplyError, WiringError
from headwater.messages import Event
from tests.domain.shop import Account, Deposit, Deposited, Withdrawn, account


class Odd(Event):
    pass


def test_the_state_is_the_fold_of_the_events() -> None:
    assert account.fold([]) == Account(0)
    assert account.fold([Deposited(10), Withdrawn(3)]) == Account(7)


def test_a_decider_decides_on_a_state() -> None:
    assert account.decide(Deposit(5), Account()) == [Deposited(5)]


def test_the_event_types_are_those_in_the_annotation_of_evolve() -> None:
    assert account.events == (Deposited, Withdrawn)


def test_the_event_types_can_be_given_where_evolve_does_not_say_them() -> None:
    decider = Decider[int, int, Deposited](
        name="sum",
        initial=0,
        decide=lambda command, state: [Deposited(command)],
        evolve=lambda state, event: state + event.cents,
        events=(Deposited,),
    )

    assert decider.events == (Deposited,)
    assert decider.fold([Deposited(1), Deposited(2)]) == 3


def test_a_failing_evolve_names_decider_event_and_version() -> None:
    def evolve(state: int, event: Deposited | Odd) -> int:
        if isinstance(event, Odd):
            raise ValueError("odd")  # noqa: TRY004 - is what is tested
        return state + event.cents

    decider = Decider[int, int, Deposited | Odd](
        name="sum", initial=0, decide=lambda command, state: [], evolve=evolve
    )

    with pytest.raises(ApplyError, match="Decider 'sum' can't apply Odd as version 2: ValueError"):
        decider.fold([Deposited(1), Odd()])


def test_an_annotation_that_names_nothing_is_told_at_first_use() -> None:
    def evolve(state: int, event: Odd) -> int:
        return state

    evolve.__annotations__["event"] = "Nowhere"
    decider = Decider[int, int, Odd](
        name="sum", initial=0, decide=lambda command, state: [], evolve=evolve
    )

    with pytest.raises(WiringError, match="Decider 'sum': name 'Nowhere' is not defined"):
        _ = decider.events
