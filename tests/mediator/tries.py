"""A policy for tests: it tries a number of times, and counts what it sees."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Tries:
    """Calls again after each `Exception`, *most* times in all; refusals too, unlike `Retry`."""

    def __init__(self, most: int = 3) -> None:
        self._most = most
        self.calls = 0
        self.failures: list[Exception] = []
        self.names: list[str] = []

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self.names.append(function.__qualname__)
        for attempt in range(1, self._most + 1):
            self.calls += 1
            try:
                return await function(*args, **kwargs)
            except Exception as error:
                self.failures.append(error)
                if attempt == self._most:
                    raise
        raise AssertionError("unreachable")
