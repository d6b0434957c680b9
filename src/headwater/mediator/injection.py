"""Call plans: where each dependency of a callable comes from, decided before the first call.

There are three sources. What the library itself knows of the current message (its context, its
unit of work) comes from resolvers and costs no container scope. What lives as long as the
container is got once and becomes a constant. Only what lives as long as a message needs a
request scope around the call.
"""

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Protocol, Union, get_args, get_origin

import msgspec

from headwater.errors import WiringFault
from headwater.mediator.annotations import show
from headwater.mediator.signatures import (
    NO_DEFAULT,
    Dependency,
    Signature,
    read_signature,
)
from headwater.ports.container import Container, Scope
from headwater.resilience import Guard


class Resolver(Protocol):
    """Knows values of the message that is being handled."""

    def __call__(self, annotation: Any, /) -> Callable[[], Any] | None:
        """Return what gives the value for a parameter annotated so; None if it isn't known.

        Asked once, when a plan is compiled. What is returned is called for each message,
        where its handler is about to run.
        """
        ...


class Constant(msgspec.Struct, frozen=True):
    """The same for every message."""

    value: Any


class FromApp(msgspec.Struct, frozen=True):
    """Of scope APP: got from the container once."""

    key: Any


class FromMessage(msgspec.Struct, frozen=True):
    """Given anew for each message, without a container."""

    give: Callable[[], Any]


class FromRequest(msgspec.Struct, frozen=True):
    """Of scope REQUEST: got from the request scope around the message."""

    key: Any


class Made(msgspec.Struct, frozen=True):
    """An object of a class that no container knows, made of its constructor's dependencies."""

    cls: type
    sources: "tuple[Bound, ...]"


Source = Constant | FromApp | FromMessage | FromRequest | Made


class Bound(msgspec.Struct, frozen=True):
    """A source for one parameter."""

    name: str
    source: Source
    keyword_only: bool


class CallPlan(msgspec.Struct, frozen=True):
    """How one callable is called.

    `method` is set for a method of a class; then `owner` is where its object comes from.
    `needs` are the keys of APP dependencies that must be got before `build`; `scoped` tells
    whether a call needs a request scope around it.
    """

    signature: Signature
    sources: tuple[Bound, ...]
    owner: Source | None
    inline: bool
    needs: frozenset[Any]
    scoped: bool
    policy: Guard | None = None


class Constants:
    """The APP dependencies that were got, and the handler objects that were made of them."""

    def __init__(self, container: Container | None) -> None:
        self._container = container
        self._got: dict[Any, Any] = {}
        self._made: dict[type, Any] = {}

    def has(self, needs: frozenset[Any]) -> bool:
        """Return whether all of *needs* were got."""
        return needs <= self._got.keys()

    async def get(self, needs: frozenset[Any]) -> None:
        """Get those of *needs* that were not got yet."""
        if self._container is None:
            return
        for key in needs - self._got.keys():
            self._got[key] = await self._container.get(key)

    def __getitem__(self, key: Any) -> Any:
        return self._got[key]

    def made(self, cls: type, make: Callable[[], Any]) -> Any:
        """Return the one object of *cls*: all methods of a handler class share it."""
        if cls not in self._made:
            self._made[cls] = make()
        return self._made[cls]


class Injector:
    """Compiles call plans.

    *instances* are given as they are, by type; *resolvers* are asked in order, then
    *container*.
    """

    def __init__(
        self,
        *,
        instances: Mapping[Any, Any] | None = None,
        resolvers: Sequence[Resolver] = (),
        container: Container | None = None,
    ) -> None:
        self._instances = dict(instances or {})
        self._resolvers = tuple(resolvers)
        self._container = container
        self.constants = Constants(container)

    def plan(
        self,
        signature: Signature,
        faults: list[WiringFault],
        *,
        owner: type | None = None,
        inline: bool = False,
    ) -> CallPlan | None:
        """Return how to call *signature*'s target, a method of *owner* if that is given.

        What can't be resolved is added to *faults*, and None returned.
        """
        before = len(faults)
        sources = self._sources(signature, faults)
        made = self._owner(owner, signature.where, faults) if owner is not None else None
        if len(faults) > before:
            return None
        needs: set[Any] = set()
        scoped = False
        for source in _flat([bound.source for bound in sources] + ([made] if made else [])):
            if isinstance(source, FromApp):
                needs.add(source.key)
            scoped = scoped or isinstance(source, FromRequest)
        return CallPlan(signature, sources, made, inline, frozenset(needs), scoped)

    def find(self, annotation: Any) -> Source | None:
        """Return where a dependency of this annotation comes from, None if nobody knows it."""
        for candidate in _candidates(annotation):
            if candidate in self._instances:
                return Constant(self._instances[candidate])
            for resolver in self._resolvers:
                give = resolver(candidate)
                if give is not None:
                    return FromMessage(give)
            provided = self._container.find(candidate) if self._container is not None else None
            if provided is not None:
                if provided.scope is Scope.APP:
                    return FromApp(provided.key)
                return FromRequest(provided.key)
        return None

    def _sources(self, signature: Signature, faults: list[WiringFault]) -> tuple[Bound, ...]:
        found: list[Bound] = []
        for dependency in signature.dependencies:
            source = self._source(dependency)
            if source is None:
                faults.append(_unresolvable(dependency, signature, self._container))
            else:
                found.append(Bound(dependency.name, source, dependency.keyword_only))
        return tuple(found)

    def _source(self, dependency: Dependency) -> Source | None:
        known = None
        if dependency.annotation is not NO_DEFAULT:
            known = self.find(dependency.annotation)
        if known is not None:
            return known
        if dependency.default is not NO_DEFAULT:
            return Constant(dependency.default)
        return Constant(None) if _may_be_none(dependency.annotation) else None

    def _owner(self, cls: type, where: str, faults: list[WiringFault]) -> Source | None:
        known = self.find(cls)
        if known is not None:
            return known
        constructor = read_signature(cls, faults, leading=0, where=where)
        if constructor is None:
            return None
        return Made(cls, self._sources(constructor, faults))


def _flat(sources: Sequence[Source]) -> Iterator[Source]:
    for source in sources:
        yield source
        if isinstance(source, Made):
            yield from _flat([bound.source for bound in source.sources])


def _candidates(annotation: Any) -> Iterator[Any]:
    """Yield what a dependency may be known as: as annotated, without metadata, without None."""
    yield annotation
    if get_origin(annotation) is Annotated:
        yield from _candidates(get_args(annotation)[0])
    elif _may_be_none(annotation):
        members = [member for member in get_args(annotation) if member is not types.NoneType]
        if len(members) == 1:
            yield from _candidates(members[0])


def _may_be_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType) and types.NoneType in get_args(
        annotation
    )


def _unresolvable(
    dependency: Dependency, signature: Signature, container: Container | None
) -> WiringFault:
    advice = (
        "Provide it (App: provide= or providers=, Mediator: container=), or give a default."
        if container is None
        else "Provide it in the container (scope APP or REQUEST), or give the parameter a default."
    )
    return WiringFault(
        f"nobody provides {show(dependency.annotation)}, which {signature.name} needs as "
        f"{dependency.name!r}.",
        where=signature.where,
        advice=advice,
    )
