"""Which events, aggregates and read models an app knows, and what is wrong with them."""

import sys
from inspect import isfunction
from typing import Any, cast, get_args, get_origin

from headwater.domain.aggregate import Aggregate
from headwater.domain.decision_model import DecisionModel
from headwater.domain.read_model import ReadModel
from headwater.errors import ConfigurationError, WiringFault
from headwater.mediator.matching import is_protocol
from headwater.mediator.signatures import place
from headwater.serialization.registry import TypeRegistry
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.repository import Repository
from headwater.unit_of_work.units import Units


class KnownTypes:
    """Gathers types; events are put into *registry*, faults are added to *faults*."""

    def __init__(self, registry: TypeRegistry, faults: list[WiringFault]) -> None:
        self._registry, self._faults = registry, faults
        self.aggregates: dict[type[Aggregate[Any]], None] = {}
        self.models: dict[type[ReadModel], None] = {}

    def notice(self, annotation: Any) -> None:
        """Remember which aggregates and read models handlers ask for."""
        if get_origin(annotation) not in (Repository, Collection):
            return
        wanted: Any = get_args(annotation)[0]
        if isinstance(wanted, type) and issubclass(wanted, Aggregate | ReadModel):
            self.take(cast("type[Any]", wanted))

    def take(self, *types: type[Any]) -> None:
        """Take over event types, aggregates and read models; base types stand for no event."""
        for cls in types:
            if issubclass(cls, Aggregate):
                self.aggregates[cls] = None
            elif issubclass(cls, DecisionModel):
                self.take(*cls.event_types())
            elif issubclass(cls, ReadModel):
                self.models[cls] = None
            elif not (cls is object or is_protocol(cls) or cls.__module__.startswith("headwater.")):
                self._register(cls)

    def compile(self, units: Units) -> frozenset[type]:
        """Take over the aggregates' events; find out now what is wrong with aggregates and read
        models. Return those that can't be used.
        """
        unusable: set[type] = set()
        collections: dict[str, type] = {}
        known: tuple[type[Any], ...] = (*self.aggregates, *self.models)
        for cls in known:
            try:
                collection = self._compiled(cls, units)
            except ConfigurationError as error:
                self._fault(cls, str(error))
                unusable.add(cls)
                continue
            first = collections.setdefault(collection, cls) if collection else cls
            if first is not cls:
                self._fault(
                    cls,
                    f"{cls.__qualname__} and {first.__qualname__} ({_place_of(first)}) are both "
                    f"kept in {collection!r}.",
                    "Give one of them another name.",
                )
        return frozenset(unusable)

    def _compiled(self, cls: type[Any], units: Units) -> str | None:
        """Return the collection that *cls* is kept in, None if it is kept as events."""
        if issubclass(cls, ReadModel):
            return units.row_type(cls).name
        self.take(*cls.event_types())
        spec = units.aggregate_type(cls).spec
        return spec.name if spec else None

    def _register(self, cls: type) -> None:
        try:
            self._registry.register(cls)
        except ConfigurationError as error:
            self._fault(cls, str(error))

    def _fault(self, cls: type, problem: str, advice: str = "") -> None:
        self._faults.append(WiringFault(problem, where=_place_of(cls), advice=advice))


def _place_of(cls: type) -> str:
    """Return where *cls* stands, as far as that can be known without reading its file."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    lines = [member.__code__.co_firstlineno for member in vars(cls).values() if isfunction(member)]
    line = vars(cls).get("__firstlineno__") or min(lines, default=None)
    if file is None or line is None:
        return f"{file or cls.__module__} ({cls.__qualname__})"
    return place(file, line)
