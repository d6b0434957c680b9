"""Chains of upcasters: what a stored event becomes, step by step."""

from collections.abc import Iterable, Mapping
from itertools import islice
from traceback import extract_tb
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

import msgspec

from headwater.errors import UpcasterError
from headwater.ids import derived_id
from headwater.serialization.forms import DECODE_ERRORS, ENCODE_ERRORS, ENCODER
from headwater.serialization.upcasting import Fields, StoredForm, Upcaster

PARTS_MAX: Final = 1000
"""How many events one stored event may become at most, in one step and in all."""

HIDDEN: Final = "It may be about a person, so nothing of it is shown."

_CONSUMER: Final = "$upcast"


class Part(NamedTuple):
    """One of the events that a stored event has become.

    `lineage` holds each step in which it was not the first that came out, and its place there.
    """

    name: str
    version: int
    data: bytes
    lineage: tuple[tuple[str, int], ...]

    def id_of(self, stored_id: bytes) -> bytes:
        """Return the id of this part of the event with *stored_id*: the first one keeps it.

        It does not change when another part is split again later.
        """
        id = stored_id
        for step, ordinal in self.lineage:
            id = derived_id(UUID(bytes=id), _CONSUMER, step, ordinal).bytes
        return id


class UpcastChains:
    """Upcasters by the form that they read. Of two for one form the first counts.

    Whether they fit together `upcast_faults` says; what comes out is checked in any case.
    """

    def __init__(self, upcasters: Iterable[Upcaster] = (), *, private: bool = False) -> None:
        """Follow *upcasters*; of what one raises, only type and line are shown if *private*."""
        self.private = private
        self.upcasters = tuple(upcasters)
        self.steps: Mapping[StoredForm, Upcaster] = {
            upcaster.source: upcaster for upcaster in reversed(self.upcasters)
        }

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __contains__(self, form: tuple[str, int]) -> bool:
        """Whether an upcaster reads *form*. A plain tuple of name and version will do."""
        return form in self.steps

    def parts(self, name: str, version: int, data: str | bytes) -> list[Part]:
        """Return what an event stored as *data* under *name* and *version* has become, in order.

        Raises:
            UpcasterError: an upcaster failed, or returned what it must not.
        """
        found: list[Part] = []
        self._follow(StoredForm(name, version), data, (), (), found)
        return found

    def finals(self, form: StoredForm) -> frozenset[StoredForm]:
        """Return the forms without an upcaster that *form* leads to; itself, if it has none."""
        found: set[StoredForm] = set()
        seen: set[StoredForm] = set()
        ahead = [form]
        while ahead:
            current = ahead.pop()
            if current in seen:
                continue
            seen.add(current)
            step = self.steps.get(current)
            if step is None:
                found.add(current)
            else:
                ahead += step.targets
        return frozenset(found)

    def _follow(
        self,
        form: StoredForm,
        data: str | bytes,
        lineage: tuple[tuple[str, int], ...],
        above: tuple[StoredForm, ...],
        found: list[Part],
    ) -> None:
        step = self.steps.get(form)
        if step is None:
            if len(found) >= PARTS_MAX:
                raise _fault(self.steps[above[0]], f"it becomes more than {PARTS_MAX} events")
            found.append(Part(*form, data if isinstance(data, bytes) else data.encode(), lineage))
            return
        if form in above:
            raise _fault(step, "its upcasters lead back to it")
        for ordinal, (target, made) in enumerate(self._applied(step, data)):
            origin = ((f"{form.name}@{form.version}", ordinal),) if ordinal else ()
            self._follow(target, made, (*lineage, *origin), (*above, form), found)

    def _applied(self, step: Upcaster, data: str | bytes) -> list[tuple[StoredForm, bytes]]:
        """Return the forms that *step* makes of *data*, each with its data as JSON.

        It is text between any two steps: so each gets what it would find in the storage, whatever
        the one before returned, and parts share nothing that one of them could change.
        """
        try:
            fields = msgspec.json.decode(data)
        except DECODE_ERRORS as error:
            raise self._failure(step, "its data is not JSON", error) from self._cause(error)
        if not isinstance(fields, dict):
            raise _fault(step, f"its data is no JSON object but {type(fields).__name__}")
        made: list[tuple[StoredForm, bytes]] = []
        try:
            returned: object = step.upcast(cast("Fields", fields))
            # A generator runs while it is read; one too many is enough to know.
            for target, content in islice(_results(step, returned), PARTS_MAX + 1):
                made.append((target, self._encoded(step, target, content)))
        except UpcasterError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            raise self._failure(step, type(error).__name__, error) from self._cause(error)
        if len(made) > PARTS_MAX:
            raise _fault(step, f"it becomes more than {PARTS_MAX} events")
        return made

    def _encoded(self, step: Upcaster, target: StoredForm, content: object) -> bytes:
        if not isinstance(content, Mapping):
            raise _fault(step, f"the data it returned for {target} is {_kind(content)}, not a dict")
        try:
            return ENCODER.encode(content)
        except ENCODE_ERRORS as error:
            problem = f"the data it returned for {target} can't be written as JSON"
            raise self._failure(step, problem, error) from self._cause(error)

    def _failure(self, step: Upcaster, problem: str, error: Exception) -> UpcasterError:
        if not self.private:
            return _fault(step, f"{problem}: {error}")
        place = extract_tb(error.__traceback__)[-1]
        return _fault(step, f"{problem} (at {place.filename}:{place.lineno}). {HIDDEN}")

    def _cause(self, error: Exception) -> Exception | None:
        return None if self.private else error


def _results(step: Upcaster, returned: object) -> Iterable[tuple[StoredForm, object]]:
    if isinstance(returned, Mapping):
        if len(step.targets) != 1:
            expected = " and ".join(map(str, step.targets)) or "nothing"
            raise _fault(
                step,
                f"it returned a dict, but says that it makes {expected}; return (name, version, "
                f"data) of each event",
            )
        yield step.targets[0], cast("Mapping[str, Any]", returned)
        return
    if isinstance(returned, str | bytes) or not isinstance(returned, Iterable):
        raise _fault(
            step,
            f"it returned {_kind(returned)}; return the data as a dict, or () to drop the event",
        )
    for part in cast("Iterable[object]", returned):
        kind = _kind(part)
        if not isinstance(part, tuple) or len(cast("tuple[object, ...]", part)) != 3:
            raise _fault(step, f"it returned {kind}, which is no (name, version, data)")
        name, version, content = cast("tuple[Any, Any, object]", part)
        target = StoredForm(name, version)
        if target not in step.targets:
            expected = " and ".join(map(str, step.targets)) or "nothing"
            raise _fault(step, f"it returned {target}, but says that it makes {expected}")
        yield target, content


def _kind(value: object) -> str:
    # Not the value itself: it can be about a person, and errors are stored and logged.
    return "None" if value is None else f"a {type(value).__name__}"


def _fault(step: Upcaster, problem: str) -> UpcasterError:
    return UpcasterError(*step.source, problem, where=step.site)
