"""What identifies an aggregate: its id, its name, and the stream that both name."""

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headwater.errors import InvalidNameError
from headwater.streams import check_context_name, check_stream_id, words_of

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    IdT = TypeVar("IdT", bound=UUID | str | int, default=Any)
else:
    # At run time the parameter only has to exist; its default is for the type checkers.
    from typing import TypeVar

    IdT = TypeVar("IdT")

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
