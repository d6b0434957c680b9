"""How a class says which of its fields are personal, and whose they are."""

from typing import Any, Final

NOT_DECLARED: Final[Any] = object()
"""Says that a mark declares no placeholder, which None would be one of."""

ERASED_TEXT: Final = "(erased)"
"""What a text field reads as after its subject was forgotten, unless its mark says otherwise."""


class Personal:
    """Marks a field as personal: ``email: Annotated[str, Personal(subject="customer_id")]``.

    The field is stored encrypted with a key of its subject. *subject* names the field beside it
    that holds the subject's id (a text, a UUID or an integer, itself stored as it is); without
    it, the one field of the class that is marked with `Subject` does. In an aggregate that is
    stored as state it may be ``"id"``.

    Once the subject is forgotten the field reads as *erased*. Without it that is None where the
    field may be None, and ``"(erased)"`` for a text; any other field must declare it.
    """

    __slots__ = ("erased", "subject")

    def __init__(self, subject: str | None = None, *, erased: Any = NOT_DECLARED) -> None:
        self.subject, self.erased = subject, erased

    def __repr__(self) -> str:
        return f"Personal({self.subject!r})" if self.subject is not None else "Personal()"


class Subject:
    """Marks the field that says whose data a record holds: ``id: Annotated[str, Subject()]``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Subject()"
