"""Marks methods that apply events, and finds out from their annotations which ones."""

import inspect
import typing
from collections.abc import Callable, Iterator
from types import FunctionType, NoneType, UnionType
from typing import Any, Final, NamedTuple, TypeVar, Union, cast, overload

from headwater.errors import WiringError, WiringFault

F = TypeVar("F", bound=Callable[..., Any])

_MARK: Final = "__headwater_applies__"
_ADVICE: Final = "Annotate it with the event: def _shipped(self, event: OrderShipped) -> None."


class AppliesMark(NamedTuple):
    """What was said in the decorator: to which rows an event belongs (projections)."""

    key: Callable[[Any], object] | None = None
    each: str | None = None


@overload
def applies(method: F, /) -> F: ...
@overload
def applies(
    *, key: Callable[[Any], object] | None = None, each: str | None = None
) -> Callable[[F], F]: ...
def applies(
    method: F | None = None,
    /,
    *,
    key: Callable[[Any], object] | None = None,
    each: str | None = None,
) -> F | Callable[[F], F]:
    """Mark a method that takes an event and changes state by it.

    The annotation of its first parameter after ``self`` says which events: a class, a base
    class or a union. Of several methods that fit, the one for the most specific class is
    called.

    *key* and *each* are for projections. *key* gives the row's key where no field of the event
    does. *each* names an indexed field of the rows, where an event knows no row's key: it is
    applied to each row that has in this field what the event has in the field of the same name,
    or what *key* gives. There may be none.
    """

    def mark(marked: F) -> F:
        setattr(marked, _MARK, AppliesMark(key, each))
        return marked

    return mark if method is None else mark(method)


class AppliesMethod(NamedTuple):
    """A marked method, the parameter that takes the event, and what the decorator said."""

    name: str
    function: FunctionType
    parameter: str
    mark: AppliesMark

    @property
    def where(self) -> str:
        """Where the method is written, as ``file:line``."""
        return where_is(self.function)

    def event_types(self) -> tuple[type, ...]:
        """Return the classes that the annotation names.

        Raises:
            NameError: the annotation names a class that does not exist (yet).
            WiringError: it is no class or union of classes.
        """
        return annotated_classes(self.function, self.parameter)


def where_is(function: Callable[..., Any]) -> str:
    """Return where *function* is written, as ``file:line``."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def applies_methods(cls: type) -> tuple[AppliesMethod, ...]:
    """Return the methods that are marked in *cls* and its bases, the bases' first.

    A method replaces the one of the same name in a base class, marked again or not.

    Raises:
        WiringError: a method has no parameter for the event, has it unannotated, or is async.
    """
    marks: dict[str, AppliesMark] = {}
    functions: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            mark = getattr(member, _MARK, None)
            if mark is not None:
                marks[name] = mark
            if name in marks:
                functions[name] = member
    faults: list[WiringFault] = []
    methods: list[AppliesMethod] = []
    for name, mark in marks.items():
        try:
            methods.append(_method(f"{cls.__qualname__}.{name}", name, functions[name], mark))
        except WiringError as error:
            faults += error.faults
    if faults:
        raise WiringError(faults)
    return tuple(methods)


def _method(label: str, name: str, function: Any, mark: AppliesMark) -> AppliesMethod:
    if not isinstance(function, FunctionType):
        raise _fault(f"{label} is no plain method.", repr(function), "Use a method with self.")
    where = where_is(function)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise _fault(
            f"{label} is async, but applying an event must not wait for anything.",
            where,
            "Make it a plain 'def'; do what needs waiting before the event is recorded.",
        )
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < 2:
        raise _fault(f"{label} takes no event.", where, _ADVICE)
    event = parameters[1]
    if event.annotation is inspect.Parameter.empty:
        raise _fault(f"{label} does not say which event {event.name!r} is.", where, _ADVICE)
    return AppliesMethod(name, function, event.name, mark)


def annotated_classes(function: Callable[..., Any], parameter: str) -> tuple[type, ...]:
    """Return the classes that the annotation of *parameter* names: one, or a union's members.

    Raises:
        NameError: the annotation names something that does not exist (yet).
        WiringError: it is no class or union of classes.
    """
    annotation = _resolved(function, parameter)
    classes = tuple(_members(annotation))
    # Any is a class since Python 3.11, but nothing is derived from it.
    if not all(isinstance(cls, type) and cls not in {Any, NoneType} for cls in classes):
        raise _fault(
            f"{function.__qualname__}: {parameter!r} is annotated with {annotation!r}, which is "
            f"no class or union of classes.",
            where_is(function),
            _ADVICE,
        )
    return cast("tuple[type, ...]", classes)


def _resolved(function: Callable[..., Any], parameter: str) -> Any:
    """The annotation of one parameter alone, so that the others may name what they like."""

    def holder() -> None: ...

    holder.__annotations__ = {parameter: inspect.get_annotations(function)[parameter]}
    nonlocals = dict(inspect.getclosurevars(function).nonlocals)
    scope: dict[str, Any] = getattr(function, "__globals__", {})
    return typing.get_type_hints(holder, globalns=scope, localns=nonlocals)[parameter]


def _members(annotation: Any) -> Iterator[Any]:
    if hasattr(annotation, "__value__"):  # a `type X = A | B` statement of Python 3.12
        yield from _members(annotation.__value__)
        return
    origin = typing.get_origin(annotation)
    if origin is Union or origin is UnionType:
        for member in typing.get_args(annotation):
            yield from _members(member)
    else:
        yield origin or annotation


def _fault(problem: str, where: str, advice: str) -> WiringError:
    return WiringError([WiringFault(problem, where=where, advice=advice)])
