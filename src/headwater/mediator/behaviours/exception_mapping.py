"""Mapping of exceptions: what handlers raise becomes what callers understand."""

from collections.abc import Callable, Mapping
from typing import Any

from headwater.mediator.chains import Next


class ExceptionMapping:
    """Raises in place of an error what *mapping* makes of it, with the error as its cause.

    The entry for the error's own class is taken, else the nearest base class's; what no entry
    fits goes through as it is. Cancellation is no error and can't be mapped::

        ExceptionMapping({AggregateNotFoundError: lambda error: NotFound(str(error))})
    """

    order = -600

    def __init__(self, mapping: Mapping[type[Exception], Callable[[Any], Exception]]) -> None:
        self._mapping = dict(mapping)

    async def __call__(self, message: object, next: Next[object, Any]) -> Any:
        try:
            return await next(message)
        except Exception as error:
            mapped = self._mapped(error)
            if mapped is None:
                raise
            raise mapped from error

    def _mapped(self, error: Exception) -> Exception | None:
        for cls in type(error).__mro__:
            make = self._mapping.get(cls)
            if make is not None:
                return make(error)
        return None
