"""Upcasters: functions that turn stored events of an older form into those of today."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from headwater.serialization.names import check_type_name

Fields = dict[str, Any]
"""The data of a stored event: a JSON object as plain dicts, lists, strings, numbers, None."""

Upcast = Callable[[Fields], "Fields | Iterable[tuple[str, int, Fields]]"]
"""Gets the data of an event, which it may change, and returns what it is in a newer form.

For one event: its data. For none or several: ``(name, version, data)`` of each, in order.
"""

F = TypeVar("F", bound=Upcast)

_WORKING_DIRECTORY: Final = f"{Path.cwd()}/"


class StoredForm(NamedTuple):
    """A stored type name in one schema version."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name!r} version {self.version}"


Target = str | tuple[str, int]
"""A stored type name and schema version; a name alone means its version 1."""


class Upcaster(msgspec.Struct, frozen=True, eq=False):
    """One step: from a stored form to the forms that `upcast` makes of it.

    `change` says what a step does that is not written as a function.
    """

    source: StoredForm
    targets: tuple[StoredForm, ...]
    upcast: Upcast
    site: str
    change: str = ""


class Upcasters:
    """A table of upcasters; a `BoundedContext` has one, and `EventStore` and `EventCodec` take one.

    Upcasters are pure: the same data gives the same events, always. What they make is read as
    if it had been written that way; what is stored is never changed. Where there are keys of
    personal data, an error shows of what one raised the type and line only.
    """

    def __init__(self) -> None:
        self._steps: dict[Upcaster, None] = {}

    def __iter__(self) -> Iterator[Upcaster]:
        return iter(tuple(self._steps))

    def __len__(self) -> int:
        return len(self._steps)

    def include(self, *others: Iterable[Upcaster]) -> None:
        """Take over everything that stands in *others* now; what is here already counts once."""
        for other in others:
            self._steps.update(dict.fromkeys(other))

    def upcaster(
        self,
        name: str,
        *,
        version: int,
        to: Target | Sequence[Target] | None = None,
        site: str | None = None,
    ) -> Callable[[F], F]:
        """Register a function for stored events called *name* with schema version *version*.

        It gets their data as a plain dict and returns that of the next version of the same
        name, or of the one event that *to* names. If *to* names several, or none, it returns
        ``(name, version, data)`` of each event, in order; ``()`` drops the event. It may change
        the dict that it gets.

        Raises:
            InvalidNameError: *name* or one of *to* can't be a stored type name.
            ValueError: a version is below 1.
        """
        source = _form((name, version))
        targets = (StoredForm(name, version + 1),) if to is None else _forms(to)
        where = site or _caller()

        def register(function: F) -> F:
            self._add(Upcaster(source, targets, function, where))
            return function

        return register

    def change_fields(
        self,
        name: str,
        *,
        version: int,
        rename: Mapping[str, str] | None = None,
        add: Mapping[str, Any] | None = None,
        remove: Sequence[str] = (),
        to: Target | None = None,
        site: str | None = None,
    ) -> None:
        """Rename, add and remove fields of events called *name* with schema version *version*.

        *rename* goes from old name to new, *add* gives new fields a value of JSON. A field that
        is not there is not renamed; one that has the new name already makes reading fail, as
        does a field to add that is there: nothing is overwritten. Without any change it says
        that a version can be read as the next one.

        Raises as `upcaster`.
        """
        renamed, added, removed = dict(rename or {}), deepcopy(dict(add or {})), tuple(remove)

        def change(fields: Fields) -> Fields:
            for field in removed:
                fields.pop(field, None)
            # All are taken out before any is put in, so that two may change names.
            moved = {new: fields.pop(old) for old, new in renamed.items() if old in fields}
            for field, value in (*moved.items(), *deepcopy(added).items()):
                if field in fields:
                    raise ValueError(f"there is a field {field!r} already")
                fields[field] = value
            return fields

        self._add(
            Upcaster(
                _form((name, version)),
                (StoredForm(name, version + 1) if to is None else _form(to),),
                change,
                site or _caller(),
                f"rename {renamed} add {added} remove {removed}",
            )
        )

    def rename_event(
        self, name: str, *, to: Target, version: int = 1, site: str | None = None
    ) -> None:
        """Read events called *name* with schema version *version* as *to*, with the same data.

        Raises as `upcaster`.
        """
        self.upcaster(name, version=version, to=to, site=site or _caller())(_unchanged)

    def drop_event(self, name: str, *, version: int = 1, site: str | None = None) -> None:
        """Pass over events called *name* with schema version *version*: nobody gets them.

        Raises as `upcaster`.
        """
        self.upcaster(name, version=version, to=(), site=site or _caller())(_dropped)

    def _add(self, step: Upcaster) -> None:
        self._steps[step] = None


def _unchanged(fields: Fields) -> Fields:
    return fields


def _dropped(_fields: Fields) -> tuple[()]:
    return ()


def _forms(to: Target | Sequence[Target]) -> tuple[StoredForm, ...]:
    if isinstance(to, str) or (len(to) == 2 and isinstance(to[1], int)):
        return (_form(to),)  # type: ignore[arg-type] # a name, or a name and a version
    return tuple([_form(target) for target in to])  # type: ignore[arg-type] # then a sequence


def _form(target: Target) -> StoredForm:
    name, version = (target, 1) if isinstance(target, str) else target
    if version < 1:
        raise ValueError(f"schema version must be 1 or more, not {version}")
    return StoredForm(check_type_name(name), version)


def _caller() -> str:
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage] # inspect.stack reads files
    file = frame.f_code.co_filename.removeprefix(_WORKING_DIRECTORY)
    return f"{file}:{frame.f_lineno}"
