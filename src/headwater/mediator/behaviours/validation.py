"""Validation: a message must meet its own constraints before anybody handles it."""

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from headwater.errors import MessageTypeError, ValidationError
from headwater.mediator.chains import Next

Check = Callable[[Any], list[str]]
"""Returns what is wrong with a message."""


class Validation:
    """Checks messages whose class can say what is valid; the others it does not slow down.

    A ``validate()`` method returns nothing, or a sequence of problems, or raises `ValueError`.
    Constraints of msgspec (``Annotated[int, Meta(gt=0)]``) and field types are checked for
    records, since msgspec does not validate construction; pydantic models are checked again,
    because ``model_construct`` and assignment pass them by.

    Raises:
        ValidationError: with all problems found.
    """

    order = -200

    async def __call__(self, message: object, next: Next[object, Any]) -> Any:
        cls: Any = type(message)
        problems = [problem for check in checks_of(cls) for problem in check(message)]
        if problems:
            raise ValidationError(cls, problems)
        return await next(message)

    @staticmethod
    def applies_to(message_type: type) -> bool:
        """Return whether messages of *message_type* can be invalid."""
        return bool(checks_of(message_type))


@functools.lru_cache(maxsize=1024)
def checks_of(message_type: Any) -> tuple[Check, ...]:
    """Return how messages of *message_type* are checked; pydantic brings its own `validate`."""
    if hasattr(message_type, "__pydantic_validator__"):
        return (_pydantic_problems,)
    checks: list[Check] = []
    if issubclass(message_type, msgspec.Struct):
        checks.append(_msgspec_problems)
    if callable(getattr(message_type, "validate", None)):
        checks.append(_own_problems)
    return tuple(checks)


def _msgspec_problems(message: Any) -> list[str]:
    try:
        # Through plain values, because msgspec takes an instance as it is.
        msgspec.convert(msgspec.to_builtins(message), message.__class__)
    except msgspec.ValidationError as error:
        return [str(error)]
    except TypeError as error:
        raise MessageTypeError(
            f"{type(message).__name__} can't be validated: {error}. Narrow the behaviour with "
            f"on=… or when=…, or give the field a type that msgspec knows."
        ) from error
    return []


def _pydantic_problems(message: Any) -> list[str]:
    try:
        message.__class__.model_validate(message.model_dump(by_alias=True))
    except ValueError as error:
        failed: Any = error
        return [_told(detail) for detail in failed.errors()]
    return []


def _told(detail: dict[str, Any]) -> str:
    """Return a pydantic error as one line."""
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else str(detail["msg"])


def _own_problems(message: Any) -> list[str]:
    try:
        found = message.validate()
    except ValueError as error:
        return [str(error)]
    return [str(problem) for problem in found or ()]
