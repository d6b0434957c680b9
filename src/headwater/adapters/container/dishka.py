"""Dishka as container: its APP scope is ours, and SESSION and REQUEST are our REQUEST."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from dishka import DEFAULT_COMPONENT, AsyncContainer, Provider, make_async_container
from dishka import Scope as DishkaScope
from dishka.entities.key import hint_to_dependency_key
from dishka.exception_base import DishkaError
from dishka.provider import BaseProvider
from dishka.registry import Registry

from headwater.errors import WiringError, WiringFault
from headwater.ports.container import Provided, RequestScope, Scope

__all__ = ["BaseProvider", "DishkaContainer"]


class DishkaContainer:
    """Gives what *providers* provide.

    `context` holds values of scope APP. The types in `from_message` are brought by each
    message (`MessageContext`, for one), so that providers of scope REQUEST can depend on them.
    `overrides` replace dependencies by ready values wherever they are used, for tests.

    Raises:
        WiringError: a provider needs what nobody provides, or they don't fit together.
    """

    def __init__(
        self,
        *providers: BaseProvider,
        context: Mapping[Any, Any] | None = None,
        from_message: Iterable[Any] = (),
        overrides: Mapping[Any, Any] | None = None,
    ) -> None:
        message = Provider(scope=DishkaScope.REQUEST)
        for dependency in from_message:
            message.from_context(dependency)
        replaced = Provider(scope=DishkaScope.APP)
        for dependency, value in (overrides or {}).items():
            replaced.provide(_always(value), provides=dependency, override=True)
        try:
            self._container = make_async_container(
                *providers, message, replaced, context=dict(context or {})
            )
        except DishkaError as error:
            raise WiringError(
                [
                    WiringFault(
                        f"dishka can't use them: {str(error).strip()}\n   ",
                        where="the providers",
                        advice="Provide what is missing, or mend the provider that asks for it.",
                    )
                ]
            ) from error
        self._closes = True

    @classmethod
    def of(cls, container: AsyncContainer) -> "DishkaContainer":
        """Return a port to a dishka container that exists; its owner goes on to close it."""
        adapter = cls.__new__(cls)
        adapter._container = container
        adapter._closes = False
        return adapter

    def find(self, dependency: Any, /) -> Provided | None:
        key = hint_to_dependency_key(dependency).with_component(DEFAULT_COMPONENT)
        for scope, registry in self._registries():
            if registry.get_factory(key) is not None:
                return Provided(scope, key.as_compilation_key())
        return None

    async def get(self, key: Any, /) -> Any:
        return await self._container.get(key)

    def request(
        self, values: Mapping[Any, Any], /
    ) -> AbstractAsyncContextManager[RequestScope, bool | None]:
        return self._container(dict(values) if values else None)

    async def close(self) -> None:
        if self._closes:
            await self._container.close()

    def _registries(self) -> Iterator[tuple[Scope, Registry]]:
        container: AsyncContainer | None = self._container
        while container is not None:
            yield Scope.APP, container.registry
            container = container.parent_container
        # As far as a call of the container goes: through the scopes that it skips to the next.
        inner = self._container.registry.child_registry
        while inner is not None:
            yield Scope.REQUEST, inner
            inner = inner.child_registry if inner.scope.skip else None


def _always(value: Any) -> Callable[[], Any]:
    def give() -> Any:
        return value

    return give
