"""Which bounded context a class belongs to."""

import sys
from collections.abc import Sequence
from typing import Final

from headwater.app.context import BoundedContext
from headwater.errors import MessageTypeError, WiringFault
from headwater.messages import Request, options_of

DEFAULT_CONTEXT: Final = "app"


class Belonging:
    """Finds the context of a class: by its header, else by its package, else the default one."""

    def __init__(self, contexts: Sequence[BoundedContext], *, default: str) -> None:
        self._default = default
        self._by_package: dict[str, list[BoundedContext]] = {}
        for context in contexts:
            self._by_package.setdefault(context.package, []).append(context)
        self.closed = False

    def faults(self) -> list[WiringFault]:
        """Return what is wrong: two contexts with one name."""
        sites: dict[str, BoundedContext] = {}
        faults: list[WiringFault] = []
        for contexts in self._by_package.values():
            for context in contexts:
                first = sites.setdefault(context.name.replace("-", "_"), context)
                if first is not context:
                    faults.append(
                        WiringFault(
                            f"two contexts are called {context.name!r}, here and at {first.site}.",
                            where=context.site,
                            advice="Give one of them another name.",
                        )
                    )
        return faults

    def of(self, cls: type) -> str:
        """Return the name of the context that *cls* belongs to.

        Raises:
            MessageTypeError: its package has two contexts and its header names none.
        """
        named = options_of(cls).context
        if named is not None:
            return named
        package = _module_of(cls)
        while package:
            contexts = self._by_package.get(package, ())
            if len(contexts) > 1:
                names = ", ".join(repr(context.name) for context in contexts)
                raise MessageTypeError(
                    f"{cls.__module__}.{cls.__qualname__} could belong to any of the contexts "
                    f"{names}, which were all created in {package!r}. Say which in the class "
                    f"header: context='…'."
                )
            if contexts:
                return contexts[0].name
            package = package.rpartition(".")[0]
        return self._default

    def of_stored(self, cls: type) -> str:
        """Return the context that *cls* is stored under, if it may be registered now.

        After the start an event type that nobody knows can't be let in: subscriptions to its
        base class have resolved their types, and would pass over it in silence.

        Raises:
            MessageTypeError: the app has started and *cls* is no request.
        """
        if self.closed and Request not in cls.__mro__:
            raise MessageTypeError(
                f"{cls.__module__}.{cls.__qualname__} is not known to the app, so subscriptions "
                f"would not see it. Make it known before the start: context.register("
                f"{cls.__name__}), or context.scan(package)."
            )
        return self.of(cls)


def _module_of(cls: type) -> str:
    """Return the module of *cls*; of a program that is run, the name it would be imported by.

    So what ``python -m shop`` stores has the names that a worker which imports it knows.
    """
    if cls.__module__ != "__main__":
        return cls.__module__
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None else cls.__module__
