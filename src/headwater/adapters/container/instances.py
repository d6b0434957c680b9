"""A container that is a table: instances, and factories of one value per message."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Annotated, Any, get_args, get_origin

from headwater.ports.container import Provided, Scope

Factory = Callable[[Mapping[Any, Any]], Any]
"""Makes a dependency of one message out of the values that the message brings.

It may be async. An async context manager is entered, and left at the end of the scope.
"""


class Instances:
    """Gives *instances* by type (scope APP), and what *per_request* factories make (REQUEST).

    For tests and for programs that need no injection framework. The instances stay the
    caller's: `close` leaves them alone.
    """

    def __init__(
        self,
        instances: Mapping[Any, Any] | None = None,
        *,
        per_request: Mapping[Any, Factory] | None = None,
    ) -> None:
        self._instances = dict(instances or {})
        self._factories = dict(per_request or {})

    def find(self, dependency: Any, /) -> Provided | None:
        key = get_args(dependency)[0] if get_origin(dependency) is Annotated else dependency
        if key in self._factories:
            return Provided(Scope.REQUEST, key)
        return Provided(Scope.APP, key) if key in self._instances else None

    async def get(self, key: Any, /) -> Any:
        return self._instances[key]

    def request(self, values: Mapping[Any, Any], /) -> "_InstancesScope":
        return _InstancesScope(self._instances, self._factories, values)

    async def close(self) -> None:
        """Nothing was made here, so there is nothing to close."""


class _InstancesScope:
    """One message's values, made on demand."""

    def __init__(
        self,
        instances: Mapping[Any, Any],
        factories: Mapping[Any, Factory],
        values: Mapping[Any, Any],
    ) -> None:
        self._instances, self._factories = instances, factories
        self._values = values
        self._made: dict[Any, Any] = {}
        self._closing = AsyncExitStack()

    async def get(self, key: Any, /) -> Any:
        factory = self._factories.get(key)
        if factory is None:
            return self._instances[key]
        if key not in self._made:
            made = factory(self._values)
            value: Any = await made if inspect.isawaitable(made) else made
            if hasattr(value, "__aexit__"):
                value = await self._closing.enter_async_context(value)
            self._made[key] = value
        return self._made[key]

    async def __aenter__(self) -> "_InstancesScope":
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._closing.__aexit__(error_type, error, traceback)
