"""What a callable says of itself: the messages it takes, its dependencies, where it stands."""

import functools
import inspect
import os
import types
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec

from headwater.errors import WiringFault
from headwater.mediator.annotations import NamedMessages, named_messages, show

NO_DEFAULT: Final = inspect.Parameter.empty

# Asked once: the event loop must not wait for the file system.
_WORKING_DIRECTORY: Final = f"{Path.cwd()}{os.sep}"
_CALL = "__call__"
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Kind(Enum):
    """How a callable is called."""

    ASYNC = "async def"
    SYNC = "def"
    STREAM = "async generator"


class Dependency(msgspec.Struct, frozen=True):
    """A parameter to be filled by its type.

    `annotation` is evaluated and keeps its metadata. `default` is `NO_DEFAULT` if there is none.
    """

    name: str
    annotation: Any
    default: Any = NO_DEFAULT
    keyword_only: bool = False


class Signature(msgspec.Struct, frozen=True):
    """What `read_signature` found.

    `named` is what the first parameter names.
    """

    target: Callable[..., Any]
    name: str
    where: str
    kind: Kind
    named: NamedMessages
    dependencies: tuple[Dependency, ...]
    leading: int

    @property
    def messages(self) -> tuple[type, ...]:
        """The classes and Protocols of the messages that it takes."""
        return self.named.classes


def read_signature(
    target: Callable[..., Any],
    faults: list[WiringFault],
    *,
    leading: int = 1,
    method: bool = False,
    messages: tuple[type, ...] = (),
    where: str | None = None,
) -> Signature | None:
    """Return what *target* says of itself; add to *faults* and return None if it can't be used.

    The first *leading* parameters are given by position by the caller: a message (1), a
    message and `next` (2), or nothing (0, a constructor); with *method*, its object before
    them. The others are dependencies. Types are named by annotations; text is evaluated in the
    module that wrote it. *messages* stands for the annotation of the first parameter. *where*
    is said of what was not written in Python.
    """
    reader = _Reader(target, leading, where)
    try:
        return reader.read(method=method, messages=messages)
    except _UnusableError as unusable:
        faults.extend(unusable.faults)
        return None


class _UnusableError(Exception):
    def __init__(self, *faults: WiringFault) -> None:
        self.faults = faults


class _Reader:
    """One reading of one callable."""

    def __init__(self, target: Callable[..., Any], leading: int, where: str | None) -> None:
        self._target, self._leading = target, leading
        self._function = function_of(target)
        self._name = name_of(target)
        self._where = where_of(target) or where or self._name

    def read(self, *, method: bool, messages: tuple[type, ...]) -> Signature:
        parameters = self._parameters()[1 if method else 0 :]
        kind = self._kind()
        if len(parameters) < self._leading or any(
            p.kind is p.KEYWORD_ONLY for p in parameters[: self._leading]
        ):
            raise _UnusableError(
                self._fault(
                    f"{self._name} takes too few positional parameters.",
                    "Its first parameter is the message"
                    + ("." if self._leading == 1 else ", its second is 'next'."),
                )
            )
        faults: list[WiringFault] = []
        named = NamedMessages(messages)
        if self._leading and not messages:
            named = self._messages(parameters[0], faults)
        dependencies = [self._dependency(p, faults) for p in parameters[self._leading :]]
        if faults:
            raise _UnusableError(*faults)
        found = tuple(dependency for dependency in dependencies if dependency is not None)
        return Signature(self._target, self._name, self._where, kind, named, found, self._leading)

    def _fault(self, problem: str, advice: str) -> WiringFault:
        return WiringFault(problem, where=self._where, advice=advice)

    def _parameters(self) -> list[inspect.Parameter]:
        try:
            parameters = list(inspect.signature(self._target).parameters.values())
        except (TypeError, ValueError, NameError) as error:
            raise _UnusableError(
                self._fault(
                    f"{self._name} has no readable signature ({error}).",
                    "Write it as a function or a class with annotated parameters.",
                )
            ) from None
        return [p for p in parameters if p.kind not in _VARIADIC]

    def _kind(self) -> Kind:
        # A decorator's plain wrapper returns what the decorated function returns.
        innermost = inspect.unwrap(self._function)
        if inspect.iscoroutinefunction(innermost):
            return Kind.ASYNC
        if inspect.isasyncgenfunction(innermost):
            return Kind.STREAM
        if inspect.isgeneratorfunction(innermost):
            raise _UnusableError(
                self._fault(f"{self._name} is a plain generator.", "Make it an async generator.")
            )
        return Kind.SYNC

    def _messages(self, parameter: inspect.Parameter, faults: list[WiringFault]) -> NamedMessages:
        if parameter.annotation is NO_DEFAULT:
            faults.append(
                self._fault(
                    f"the message parameter {parameter.name!r} of {self._name} is not annotated.",
                    "Annotate it with the message class.",
                )
            )
            return NamedMessages()
        annotation = self._evaluated(parameter, faults)
        if annotation is None:
            return NamedMessages()
        try:
            return named_messages(annotation)
        except ValueError as error:
            faults.append(
                self._fault(
                    f"the message parameter {parameter.name!r} of {self._name} is annotated as "
                    f"{show(annotation)}, {error}.",
                    "Annotate it with a message class, a union of them, or a runtime Protocol.",
                )
            )
            return NamedMessages()

    def _dependency(
        self, parameter: inspect.Parameter, faults: list[WiringFault]
    ) -> Dependency | None:
        keyword_only = parameter.kind is parameter.KEYWORD_ONLY
        if parameter.annotation is NO_DEFAULT:
            if parameter.default is NO_DEFAULT:
                faults.append(
                    self._fault(
                        f"parameter {parameter.name!r} of {self._name} is not annotated.",
                        "Annotate it with the type of the dependency, or give it a default.",
                    )
                )
                return None
            # A type that nobody provides, so that the default is taken.
            return Dependency(parameter.name, NO_DEFAULT, parameter.default, keyword_only)
        annotation = self._evaluated(parameter, faults)
        return Dependency(parameter.name, annotation, parameter.default, keyword_only)

    def _evaluated(self, parameter: inspect.Parameter, faults: list[WiringFault]) -> Any:
        if not isinstance(parameter.annotation, str):
            return parameter.annotation
        function = inspect.unwrap(self._function)
        scope = {p.__name__: p for p in getattr(function, "__type_params__", ())}
        one = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
        try:
            hints = get_type_hints(
                one, getattr(function, "__globals__", {}), scope, include_extras=True
            )
        except Exception as error:  # noqa: BLE001 - evaluating somebody's text can raise anything
            faults.append(
                self._fault(
                    f"the annotation {parameter.annotation!r} of parameter {parameter.name!r} of "
                    f"{self._name} can't be evaluated ({error}).",
                    "Import the type at module level, outside of 'if TYPE_CHECKING:'.",
                )
            )
            return None
        return hints["it"]


def function_of(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that runs when *target* is called, without partial and binding."""
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.isclass(target):
        return target.__init__
    if inspect.ismethod(target):
        return target.__func__
    if inspect.isroutine(target):
        return target
    return getattr(type(target), _CALL, target)


def name_of(target: Any) -> str:
    """Return how *target* is called in messages to people."""
    while isinstance(target, functools.partial):
        target = target.func
    name = getattr(target, "__qualname__", None) or type(target).__qualname__
    return str(name).replace("<locals>.", "")


def where_of(target: Any) -> str | None:
    """Return ``file:line`` of *target*, None if it was not written in Python."""
    function = inspect.unwrap(function_of(target)) if callable(target) else target
    code = getattr(function, "__code__", None)
    return place(code.co_filename, code.co_firstlineno) if code is not None else None


def place(file: str, line: int) -> str:
    """Return ``file:line``, with the file as seen from the working directory if it is inside."""
    return f"{file.removeprefix(_WORKING_DIRECTORY)}:{line}"
