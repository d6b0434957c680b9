"""Looking through a package for marked handlers and for requests that need one."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final, TypeVar

from headwater.mediator.matching import is_protocol
from headwater.mediator.registrations import ExpectedRequest
from headwater.messages import Request

MARKS_ATTRIBUTE: Final = "__headwater_marks__"

Mark = Callable[[Any, Any], object]
"""Called with a table of handlers and the marked object, registers the object there."""

T = TypeVar("T")


def mark(target: T, apply: Mark) -> T:
    """Remember *apply* on *target* for the table that scans its module; return *target*."""
    marks: list[Mark] = vars(target).get(MARKS_ATTRIBUTE, [])
    setattr(target, MARKS_ATTRIBUTE, [*marks, apply])
    return target


def modules_of(package: ModuleType | str) -> Iterator[ModuleType]:
    """Import *package* and everything below it, in the order of their names.

    A ``__main__`` is left alone: importing it would run a program.
    """
    module = importlib.import_module(package) if isinstance(package, str) else package
    yield module
    for found in sorted(pkgutil.iter_modules(getattr(module, "__path__", ())), key=_name):
        if found.name != "__main__":
            yield from modules_of(f"{module.__name__}.{found.name}")


def marks_in(module: ModuleType) -> Iterator[tuple[Mark, Any]]:
    """Yield the marks on what *module* itself defines, in the order of definition."""
    for target in _defined_in(module):
        marks: list[Mark] = target.__dict__.get(MARKS_ATTRIBUTE, [])
        for apply in marks:
            yield apply, target


def requests_in(module: ModuleType) -> list[ExpectedRequest]:
    """Return the request classes of *module* that somebody must handle."""
    found: list[type] = [cls for cls in _defined_in(module) if inspect.isclass(cls)]
    return [
        ExpectedRequest(cls, module.__name__)
        for cls in found
        if Request in cls.__mro__
        and not (cls.__subclasses__() or inspect.isabstract(cls) or is_protocol(cls))
    ]


def _defined_in(module: ModuleType) -> list[Any]:
    """Return functions and classes of *module*, each once, though it have two names."""
    found = {
        id(target): target
        for target in vars(module).values()
        if (inspect.isclass(target) or inspect.isfunction(target))
        and target.__module__ == module.__name__
    }
    return list(found.values())


def _name(module: pkgutil.ModuleInfo) -> str:
    return module.name
