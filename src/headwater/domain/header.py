"""What an aggregate says in its class header, and what its body must not do."""

import inspect
import re
from typing import Any, Literal
from uuid import UUID

from headwater.domain.applies import where_is
from headwater.domain.state import own_annotations
from headwater.errors import InvalidNameError, WiringError, WiringFault
from headwater.streams import check_context_name, check_stream_id, words_of

Stored = Literal["events", "state"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")


def header_name(cls: type, name: str | None) -> str:
    """Return *name*, or the one derived from the class: ``customer_account``.

    Raises:
        InvalidNameError: it is not made of lower-case ASCII letters, digits and ``_``.
    """
    return check_owner_name(name or "_".join(words_of(cls.__name__)))


def check_owner_name(name: str) -> str:
    """Return *name* if an aggregate or a decider can have it.

    Raises:
        InvalidNameError: it can't; it would not be safe in stream ids and table names.
    """
    if _NAME.match(name) is None:
        raise InvalidNameError(
            "name of an aggregate",
            name,
            "use up to 63 of a-z, 0-9 and _, beginning with a letter (name='…' in the header)",
        )
    return name


def is_id(id: object) -> bool:
    """Return whether *id* can be the id of an aggregate."""
    return isinstance(id, UUID | str | int) and not isinstance(id, bool)


def stream_id(context: str, name: str, id: UUID | str | int) -> str:
    """Return the stream id ``<context>.<name>-<id>`` of an aggregate or decider.

    A ``-`` in the context becomes ``_``: what stands before the first ``-`` is the category.

    Raises:
        InvalidNameError: a part can't be used, or the whole is longer than 512 characters.
    """
    text = str(id)
    if not text:
        raise InvalidNameError("id", text, "it is empty")
    category = check_context_name(context).replace("-", "_")
    return check_stream_id(f"{category}.{check_owner_name(name)}-{text}")


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
