"""What is wrong with upcasters, found before anything is read."""

from collections.abc import Iterator, Mapping
from inspect import iscoroutinefunction

from headwater.errors import WiringFault
from headwater.serialization.registry import TypeRegistry
from headwater.serialization.upcast_chains import UpcastChains
from headwater.serialization.upcasting import StoredForm, Upcaster


def upcast_faults(chains: UpcastChains, registry: TypeRegistry) -> list[WiringFault]:
    """Return everything that keeps a stored event from becoming one that *registry* knows.

    Two upcasters for one form; chains in a circle, or to a form that nobody knows; gaps. If a
    type has an upcaster, each version below that of its class needs one; below the newest that
    has one, if there is no class. A type without upcasters is read as it is, in all versions.
    """
    by_name: dict[str, dict[int, Upcaster]] = {}
    for form, step in chains.steps.items():
        by_name.setdefault(form.name, {})[form.version] = step
    faults = [*_doubles(chains), *_unusable(chains)]
    for step in chains.steps.values():
        for target in step.targets:
            fault = _unknown(target, step, chains, registry)
            if fault is not None:
                faults.append(fault)
    for name, versions in by_name.items():
        faults += _gaps(name, versions, registry)
    return [*faults, *_circles(chains)]


def _doubles(chains: UpcastChains) -> Iterator[WiringFault]:
    for upcaster in chains.upcasters:
        first = chains.steps[upcaster.source]
        if first is not upcaster:
            yield WiringFault(
                f"a second upcaster reads {upcaster.source}; the first is at {first.site}.",
                where=upcaster.site,
                advice="Keep one.",
            )


def _unusable(chains: UpcastChains) -> Iterator[WiringFault]:
    for step in chains.steps.values():
        if iscoroutinefunction(step.upcast):
            yield WiringFault(
                f"the upcaster of {step.source} is async.",
                where=step.site,
                advice="It is pure and waits for nothing: write it with def.",
            )


def _unknown(
    target: StoredForm, step: Upcaster, chains: UpcastChains, registry: TypeRegistry
) -> WiringFault | None:
    """Return what is wrong with a form that *step* makes; gaps are found by `_gaps`."""
    if target in chains:
        return None
    entry = registry.entry_named(target.name)
    if entry is None:
        return WiringFault(
            f"the upcaster of {step.source} makes {target}, which nobody knows.",
            where=step.site,
            advice="Register the class with that name, or an upcaster that reads it.",
        )
    if target.version > entry.version:
        return WiringFault(
            f"the upcaster of {step.source} makes {target}, but {entry.cls.__qualname__} is "
            f"version {entry.version}.",
            where=step.site,
            advice=f"Say in the class header: version={target.version}.",
        )
    return None


def _gaps(
    name: str, versions: Mapping[int, Upcaster], registry: TypeRegistry
) -> Iterator[WiringFault]:
    entry = registry.entry_named(name)
    newest = entry.version - 1 if entry is not None else max(versions)
    for version in sorted(set(range(1, newest + 1)) - set(versions)):
        known = (
            f"the class {entry.cls.__qualname__} is version {entry.version}"
            if entry is not None
            else f"version {newest} has one"
        )
        yield WiringFault(
            f"{StoredForm(name, version)} has no upcaster, but other versions have, and {known}.",
            where=versions[min(versions)].site,
            advice=f"Add one for it. If its data can be read as version {version + 1}: "
            f"upcasters.change_fields({name!r}, version={version}).",
        )


def _circles(chains: UpcastChains) -> Iterator[WiringFault]:
    """Find each circle once, however many forms lead into it."""
    done: set[StoredForm] = set()
    for start in chains.steps:
        path: list[StoredForm] = []
        yield from _circles_from(start, path, done, chains)


def _circles_from(
    form: StoredForm, path: list[StoredForm], done: set[StoredForm], chains: UpcastChains
) -> Iterator[WiringFault]:
    if form in path:
        circle = " → ".join(map(str, (*path[path.index(form) :], form)))
        yield WiringFault(
            f"upcasters lead in a circle: {circle}.",
            where=chains.steps[form].site,
            advice="Take one of them out.",
        )
        return
    if form in done or form not in chains:
        return
    path.append(form)
    for target in chains.steps[form].targets:
        yield from _circles_from(target, path, done, chains)
    path.pop()
    done.add(form)
