"""What changes a folded state changes its digest, and what does not leaves it."""

from collections.abc import Callable
from contextlib import suppress
from types import new_class
from typing import Any, cast

import msgspec
import pytest

from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.decider import Decider
from headwater.messages import Event
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.unit_of_work.folding import AggregateFolding, DeciderFolding


def record(name: str, base: type = msgspec.Struct, **fields: Any) -> type:
    """Return a record class *name* whose fields have these types, or (type, default)s."""

    def body(namespace: dict[str, Any]) -> None:
        given: dict[str, Any] = {n: of for n, of in fields.items() if isinstance(of, tuple)}
        namespace["__annotations__"] = fields | {name: of[0] for name, of in given.items()}
        namespace.update({name: of[1] for name, of in given.items()})

    return new_class(name, (base,), {}, body)


def event(**fields: Any) -> type:
    return record("Placed", Event, **fields)


def method(self: Any, event: Any) -> None:
    self.seen = event


Body = Callable[[Any, Any], None]


def aggregate(
    *, on: type | None = None, does: Any = method, defaults: Any = None, **state: Any
) -> type[Aggregate[Any]]:
    """Return a class with this state that does so on an event."""

    def body(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = state
        namespace.update(defaults or {})
        if on is not None:
            does.__annotations__["event"] = on
            namespace["_applied"] = applies(does)

    made = new_class("Order", (Aggregate,), {}, body)
    return cast("type[Aggregate[Any]]", made)


def code(cls: type[Aggregate[Any]], *types: type) -> str:
    registry = TypeRegistry()
    for each in types:
        registry.register(each)
    return AggregateFolding(cls, EventCodec(registry)).code


def adding(n: int) -> Any:
    def apply(self: Any, event: Any) -> None:
        self.total += n

    return apply


def with_default(n: int) -> Any:
    def apply(self: Any, event: Any, n: int = n) -> None:
        self.total += n

    return apply


def with_keyword_default(n: int) -> Any:
    def apply(self: Any, event: Any, *, n: int = n) -> None:
        self.total += n

    return apply


def through(inner: Any) -> Any:
    def apply(self: Any, event: Any) -> None:
        inner(self, event)

    return apply


def several(of: type) -> Any:
    return tuple.__class_getitem__((of, ...))


class Tagged(Event):
    """Events derived from it are applied by who applies it."""


def line(**more: Any) -> type:
    return record("Line", sku=str, **more)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            lambda: aggregate(limit=int, defaults={"limit": 0}),
            lambda: aggregate(limit=int, defaults={"limit": 9}),
            id="the default of an attribute",
        ),
        pytest.param(
            lambda: aggregate(limits=list[int], defaults={"limits": []}),
            lambda: aggregate(limits=list[int], defaults={"limits": [9]}),
            id="the default of an attribute that each instance has for itself",
        ),
        pytest.param(
            lambda: aggregate(lines=several(line()), defaults={"lines": ()}),
            lambda: aggregate(lines=several(line(gift=(bool, False))), defaults={"lines": ()}),
            id="a field of a record in the state",
        ),
        pytest.param(
            lambda: aggregate(on=event(line=line())),
            lambda: aggregate(on=event(line=line(gift=(bool, False)))),
            id="a field of a record in an event",
        ),
        pytest.param(
            lambda: aggregate(on=event(cents=(int, 0))),
            lambda: aggregate(on=event(cents=(int, 9))),
            id="the default of a field of an event",
        ),
        pytest.param(
            lambda: aggregate(on=event(), does=adding(1)),
            lambda: aggregate(on=event(), does=adding(2)),
            id="what a function takes from around it",
        ),
        pytest.param(
            lambda: aggregate(on=event(), does=through(adding(1))),
            lambda: aggregate(on=event(), does=through(adding(2))),
            id="what a function from around it takes from around it",
        ),
        pytest.param(
            lambda: aggregate(on=event(), does=with_default(1)),
            lambda: aggregate(on=event(), does=with_default(2)),
            id="the default of a parameter",
        ),
        pytest.param(
            lambda: aggregate(on=event(), does=with_keyword_default(1)),
            lambda: aggregate(on=event(), does=with_keyword_default(2)),
            id="the default of a keyword",
        ),
    ],
)
def test_another_digest_comes_of(
    one: Callable[[], type[Aggregate[Any]]], other: Callable[[], type[Aggregate[Any]]]
) -> None:
    assert code(one()) == code(one())
    assert code(one()) != code(other())


def test_events_derived_from_one_that_is_applied_count() -> None:
    def derived(default: int) -> type:
        return record("Derived", Tagged, cents=(int, default))

    cls = aggregate(on=Tagged)

    assert code(cls, derived(0)) == code(cls, derived(0))
    assert code(cls, derived(0)) != code(cls, derived(9))


def test_where_a_function_catches_counts() -> None:
    def inside(self: Any, event: Any) -> None:
        with suppress(ValueError):
            self.one()
            self.two()

    def behind(self: Any, event: Any) -> None:
        self.one()
        with suppress(ValueError):
            self.two()

    behind.__code__ = behind.__code__.replace(co_name="inside", co_qualname="inside")

    assert code(aggregate(on=event(), does=inside)) != code(aggregate(on=event(), does=behind))


def test_a_function_that_calls_itself_has_one() -> None:
    def apply(self: Any, event: Any) -> None:
        if event is None:
            apply(self, event)

    assert code(aggregate(on=event(), does=apply))


class Moved(Event):
    cents: int


def decider(initial: Any, factor: int = 1) -> Decider[Any, Any, Any]:
    def evolve(state: Any, event: Moved) -> Any:
        return state if factor else None

    evolve.__annotations__["return"] = type(initial)
    return Decider(
        name="account",
        initial=initial,
        decide=lambda _command, _state: [],
        evolve=evolve,
        events=(Moved,),
    )


def decider_code(of: Decider[Any, Any, Any]) -> str:
    return DeciderFolding(of, EventCodec(TypeRegistry())).code


def test_of_a_decider_its_first_state_and_what_it_is_given_count() -> None:
    account = record("Account", cents=(int, 0))
    wider = record("Account", cents=(int, 0), owner=(str, ""))

    codes = {
        decider_code(made)
        for made in (
            decider(account()),
            decider(account()),
            decider(account(9)),
            decider(wider()),
            decider(account(), factor=2),
            decider(0),
            decider(1),
        )
    }

    assert len(codes) == 6
