"""What was sent, published and appended, for a test to look at afterwards."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar, cast

from headwater.app.context import BoundedContext
from headwater.errors import ConfigurationError
from headwater.event_store import EventStore
from headwater.mediator.chains import Next
from headwater.mediator.matching import stands_for
from headwater.mediator.registrations import Stage
from headwater.metadata import Recorded
from headwater.testing.outcome import failure, message_problems

T = TypeVar("T")

OUTERMOST: Final = -1_000_000
"""The order of the recorder's behaviours: a request counts as sent though another one, such as
an authorization, refuses it; and once, however often its handler is run again."""

CONTEXT: Final = "headwater-testing"


class Recorder:
    """Remembers what is sent and published in an app, and reads what was appended.

    It hears every request that has a handler, nested ones and streams too, and every publish
    that takes place, also one that nobody hears; one with ``after_commit`` takes place after
    the commit. Nothing else changes by its hearing. Types in questions may be base types and
    Protocols.
    """

    def __init__(self) -> None:
        self._sent, self._published = Messages("sent"), Messages("published")
        self._store: EventStore | None = None
        self._after = 0

    # ------------------------------------------------------------------------- questions

    def sent(self, type: type[T]) -> tuple[T, ...]:
        """Return the requests of *type* that were sent, in order."""
        return self._sent.of(type)

    def published(self, type: type[T]) -> tuple[T, ...]:
        """Return the messages of *type* that were published, in order."""
        return self._published.of(type)

    async def appended(self, type: type[T]) -> tuple[T, ...]:
        """Return the events of *type* in the log, in order; while the app runs.

        Whoever appended them: also what was there already, if the storage was not empty.
        """
        return tuple([event.payload for event in await self.records(type)])

    async def records(self, type: type[T]) -> tuple[Recorded[T], ...]:
        """Return the events of *type* as they stand in the log; while the app runs."""
        if self._store is None:
            raise ConfigurationError("The log can be read when the app has been started.")
        log = self._store.read_all(after=self._after)
        return tuple([event async for event in log if _is_of(type, event.payload)])

    # ---------------------------------------------------------------------- expectations

    def assert_sent(self, first: object, /, *more: object) -> None:
        """Expect that of these classes exactly these requests were sent, in this order."""
        __tracebackhide__ = True
        self._sent.expect((first, *more))

    def assert_not_sent(self, *types: type) -> None:
        """Expect that no request of *types* was sent; none at all, if no type is given."""
        __tracebackhide__ = True
        self._sent.expect_none(types)

    def assert_published(self, first: object, /, *more: object) -> None:
        """Expect that of these classes exactly these messages were published, in this order."""
        __tracebackhide__ = True
        self._published.expect((first, *more))

    def assert_not_published(self, *types: type) -> None:
        """Expect that no message of *types* was published; none at all, if no type is given."""
        __tracebackhide__ = True
        self._published.expect_none(types)

    async def assert_appended(self, first: object, /, *more: object) -> None:
        """Expect that of these classes exactly these events were appended, in this order."""
        __tracebackhide__ = True
        Messages("appended", await self.appended(object)).expect((first, *more))

    async def assert_not_appended(self, *types: type) -> None:
        """Expect that no event of *types* was appended; none at all, if no type is given."""
        __tracebackhide__ = True
        Messages("appended", await self.appended(object)).expect_none(types)

    async def clear(self) -> None:
        """Forget everything up to now, what stands in the log included; nothing is deleted."""
        self._sent, self._published = Messages("sent"), Messages("published")
        self._after = await self._store.head() if self._store is not None else 0

    # ------------------------------------------------------------------ what TestApp calls

    def listening(self, contexts: Iterable[BoundedContext]) -> BoundedContext:
        """Return a context that makes an app of *contexts* tell this recorder what it does."""
        listening = BoundedContext(CONTEXT)
        # A behaviour around nothing is a fault in the wiring.
        if any(context.handlers for context in contexts):
            listening.behaviour(self._note_sent, on=object, order=OUTERMOST)
        listening.behaviour(self._note_published, on=object, order=OUTERMOST, stage=Stage.PUBLISH)
        return listening

    def read_from(self, store: EventStore) -> None:
        """Read what was appended from *store*."""
        self._store = store

    async def _note_sent(self, message: object, next: Next[object, Any]) -> Any:
        self._sent.add(message)
        return await next(message)

    async def _note_published(self, message: object, next: Next[object, Any]) -> Any:
        self._published.add(message)
        return await next(message)


class Messages:
    """Messages in the order in which they were *done*: sent, published, appended."""

    def __init__(self, done: str, messages: Iterable[object] = ()) -> None:
        self._done, self._messages = done, list(messages)

    def add(self, message: object) -> None:
        """Take over *message* as the last one."""
        self._messages.append(message)

    def of(self, type: type[T]) -> tuple[T, ...]:
        """Return those of *type*, a class or Protocol, in order."""
        return tuple(cast("T", each) for each in self._messages if _is_of(type, each))

    def expect(self, expected: Sequence[object]) -> None:
        """Raise `AssertionError` unless of these classes exactly these are here, in order."""
        __tracebackhide__ = True
        classes = {type(message) for message in expected}
        actual = [message for message in self._messages if type(message) in classes]
        problems = list(message_problems(expected, actual, noun="message"))
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise failure(
                f"Other messages were {self._done} than expected.\n{lines}\n  In all: {self}."
            )

    def expect_none(self, types: Sequence[type]) -> None:
        """Raise `AssertionError` if any of *types*, or of any type, is here."""
        __tracebackhide__ = True
        found = [
            each for each in self._messages if not types or any(_is_of(cls, each) for cls in types)
        ]
        if found:
            lines = "\n".join(f"  {message!r}" for message in found)
            raise failure(f"Expected that nothing was {self._done}, but there was:\n{lines}")

    def __str__(self) -> str:
        counts = Counter(type(message).__name__ for message in self._messages)
        return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _is_of(cls: type, message: object) -> bool:
    return stands_for(cls, type(message))
