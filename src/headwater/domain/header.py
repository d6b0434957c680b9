"""What an aggregate says in its class header, and what its body must not do."""

import inspect
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from headwater.domain.applies import where_is
from headwater.domain.identity import header_name
from headwater.domain.snapshots import Loading, Snapshots, checked_loading
from headwater.domain.state import own_annotations
from headwater.errors import ConfigurationError, WiringError, WiringFault
from headwater.streams import check_context_name

Stored = Literal["events", "state"]


class Header(msgspec.Struct, frozen=True):
    """What the header of a class and those of its bases say together."""

    name: str = ""
    stored_as_state: bool = False
    unique: tuple[str, ...] = ()
    loading: Loading = Loading()


def read_header(
    cls: type,
    root: type,
    above: Header,
    *,
    name: str | None,
    context: str | None,
    stored: Stored | None,
    unique: Sequence[str],
    snapshots: Snapshots | None,
    snapshot_version: int | None,
    cache: int | None,
) -> Header:
    """Return what the header of *cls* says, where it is silent what the one *above* says.

    Raises:
        ConfigurationError: something in it can't be.
        WiringError: the body of *cls* does not go with it, or hides what *root* has.
    """
    if stored not in {None, "events", "state"}:
        raise ConfigurationError(
            f"{cls.__qualname__}: stored={stored!r} is neither 'events' nor 'state'."
        )
    check_body(cls, root)
    if context is not None:
        check_context_name(context)
    stored_as_state = above.stored_as_state if stored is None else stored == "state"
    all_unique = tuple(dict.fromkeys((*above.unique, *unique)))
    check_unique(cls, root, all_unique, stored_as_state=stored_as_state)
    loading = above.loading.changed(
        snapshots=snapshots, snapshot_version=snapshot_version, cache=cache
    )
    return Header(
        header_name(cls, name),
        stored_as_state,
        all_unique,
        checked_loading(cls, loading, stored_as_state=stored_as_state),
    )


def check_body(cls: type, root: type) -> None:
    """Check that *cls* can be made with an id alone and shadows nothing of *root*.

    Raises:
        WiringError: it can't or does; all faults that could be found.
    """
    where = f"{cls.__module__}.{cls.__qualname__}"
    body = vars(cls)
    public = {name for name in vars(root) if not name.startswith("_")}
    taken = (body.keys() & public) | (set(inspect.get_annotations(cls)) & (public - {"id"}))
    faults = [
        WiringFault(
            f"{cls.__qualname__}.{name} hides what {root.__name__} has under this name.",
            where=where,
            advice="Give it another name.",
        )
        for name in sorted(taken)
    ]
    if body.get("__slots__"):
        faults.append(
            WiringFault(
                f"{cls.__qualname__} has __slots__.",
                where=where,
                advice="Remove them: state is in the instance's dict, so that it can be copied.",
            )
        )
    if "__init__" in body and not _takes_an_id_alone(body["__init__"]):
        faults.append(
            WiringFault(
                f"{cls.__qualname__}.__init__ must be callable with the id alone: repositories "
                f"make an empty aggregate and replay its events.",
                where=where_is(body["__init__"]),
                advice="Write 'def __init__(self, id)', call super().__init__(id), and make new "
                "ones in a classmethod that records their first event.",
            )
        )
    if faults:
        raise WiringError(faults)


def check_unique(cls: type, root: type, unique: tuple[str, ...], *, stored_as_state: bool) -> None:
    """Check that all of *unique* are state attributes and that there is a row to hold them.

    Raises:
        WiringError: an attribute is not annotated, or the class is stored as events.
    """
    if not unique:
        return
    faults: list[WiringFault] = []
    where = f"{cls.__module__}.{cls.__qualname__}"
    if not stored_as_state:
        faults.append(
            WiringFault(
                f"{cls.__qualname__} names unique attributes but is stored as events.",
                where=where,
                advice="Add stored='state', or guard them with a tag condition.",
            )
        )
    annotated = own_annotations(cls, root)
    faults += [
        WiringFault(
            f"{cls.__qualname__} names {name!r} as unique, but annotates no such attribute.",
            where=where,
            advice=f"Annotated are: {', '.join(annotated) or '(none)'}.",
        )
        for name in unique
        if name not in annotated
    ]
    if faults:
        raise WiringError(faults)


def _takes_an_id_alone(function: Any) -> bool:
    try:
        inspect.signature(function).bind(object(), object())
    except TypeError:
        return False
    return True
