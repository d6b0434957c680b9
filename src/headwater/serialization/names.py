"""The names that types are stored under: ``sales.order-placed``."""

import re
from typing import Final

from headwater.errors import InvalidNameError
from headwater.messages import options_of
from headwater.streams import check_context_name, words_of

TYPE_NAME_LENGTH_MAX: Final = 200
_TYPE_NAME = re.compile(r"[^\W\d_][\w-]*(\.[\w-]+)+\Z")


def kebab_case(class_name: str) -> str:
    """Return a class name as words joined by ``-``: ``order-placed`` of ``OrderPlaced``.

    An acronym is one word: ``http-request-sent`` of ``HTTPRequestSent``.
    """
    return "-".join(words_of(class_name))


def check_type_name(name: str) -> str:
    """Return *name* if a type can be stored under it.

    It has at least two parts of letters, digits, ``-`` and ``_`` joined by dots, begins with a
    letter and is at most 200 characters long.

    Raises:
        InvalidNameError: it can't.
    """
    if len(name) > TYPE_NAME_LENGTH_MAX:
        raise InvalidNameError(
            "type name", name[:TYPE_NAME_LENGTH_MAX] + "…", f"{len(name)} characters are too many"
        )
    if _TYPE_NAME.match(name) is None:
        raise InvalidNameError("type name", name, "use '<context>.<name>', as 'sales.order-placed'")
    return name


def type_name(cls: type, context: str) -> str:
    """Return the name *cls* is stored under when it belongs to *context*.

    ``<context>.<class name in kebab-case>``; the name and the context in the class's own
    header (`MessageOptions`) come first, and a name with a dot there is the whole name.

    Raises:
        InvalidNameError: the result can't be a type name, or the context no context name.
    """
    options = options_of(cls)
    name = options.name or kebab_case(cls.__name__)
    if "." in name:
        return check_type_name(name)
    return check_type_name(f"{check_context_name(options.context or context)}.{name}")
