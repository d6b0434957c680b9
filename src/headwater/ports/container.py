"""The port to a dependency injection container: what it can give, and for how long."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, Protocol

import msgspec


class Scope(Enum):
    """How long a dependency lives."""

    APP = "app"
    """As long as the container: one for the whole process."""

    REQUEST = "request"
    """As long as the handling of one message."""


class Provided(msgspec.Struct, frozen=True):
    """A dependency that a container can give: its scope, and the key to ask `get` for it."""

    scope: Scope
    key: Any


class RequestScope(Protocol):
    """The dependencies of one message; given by entering `Container.request`."""

    async def get(self, key: Any, /) -> Any:
        """Return the dependency of *key*.

        A REQUEST dependency is made on the first call and is the same for the rest of the
        scope. An APP dependency is the container's own. Calls on one scope never overlap; the
        mediator sees to that, so that a container needs no lock for each message.
        """
        ...


class Container(Protocol):
    """Gives dependencies by type annotation.

    The mediator asks `find` once per parameter when it compiles its plans, gets APP
    dependencies once and keeps them, and enters a request scope only where a plan needs one.
    """

    def find(self, dependency: Any, /) -> Provided | None:
        """Return what this container knows under the annotation *dependency*, or None.

        Makes nothing. The annotation may carry metadata (``Annotated[...]``) that the
        container understands; metadata that it doesn't know changes nothing.
        """
        ...

    async def get(self, key: Any, /) -> Any:
        """Return the APP dependency of *key*, always the same one."""
        ...

    def request(
        self, values: Mapping[Any, Any], /
    ) -> AbstractAsyncContextManager[RequestScope, bool | None]:
        """Return a request scope to be entered once.

        *values* are dependencies that the caller brings along; what the container makes in
        this scope can depend on them. When the scope is left, also by an exception, what was
        made in it is closed in reverse order; what the caller brought is not.
        """
        ...

    async def close(self) -> None:
        """Close the APP dependencies in reverse order of their making. Idempotent."""
        ...
