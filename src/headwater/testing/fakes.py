"""Fakes to hand to a handler in a unit test, in place of the mediator."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from headwater.mediator.responses import response_type_of
from headwater.messages import Request
from headwater.testing.outcome import failure
from headwater.testing.recorder import Messages

R = TypeVar("R")
T = TypeVar("T")
Q = TypeVar("Q", bound=Request[Any])


class RecordingSender:
    """A `Sender` that remembers what is sent, and answers what it was told.

    What responds with None needs no answer.
    """

    def __init__(self) -> None:
        self._answers: dict[type, Callable[[Any], Any]] = {}
        self._sent = Messages("sent")

    def answer(self, request_type: type[Request[R]], response: R) -> None:
        """Answer every request of exactly *request_type* with *response*."""
        self._answers[request_type] = lambda _: response

    def answer_by(self, request_type: type[Q], answer: Callable[[Q], Any]) -> None:
        """Answer requests of exactly *request_type* with what *answer* returns or raises."""
        self._answers[request_type] = answer

    async def send(self, request: Request[R], /) -> R:
        """Remember *request* and answer it.

        Raises:
            AssertionError: no answer was given for its type, and it needs one.
        """
        self._sent.add(request)
        cls = type(request)
        if cls in self._answers:
            return cast("R", self._answers[cls](request))
        if response_type_of(cls) in (None, type(None)):
            return cast("R", None)
        raise failure(
            f"RecordingSender has no answer for {cls.__name__}. Give it one: "
            f"sender.answer({cls.__name__}, …)."
        )

    def sent(self, type: type[T]) -> tuple[T, ...]:
        """Return the requests of *type* that were sent, in order."""
        return self._sent.of(type)

    def assert_sent(self, first: object, /, *more: object) -> None:
        """Expect that of these classes exactly these requests were sent, in this order."""
        __tracebackhide__ = True
        self._sent.expect((first, *more))

    def assert_not_sent(self, *types: type) -> None:
        """Expect that no request of *types* was sent; none at all, if no type is given."""
        __tracebackhide__ = True
        self._sent.expect_none(types)


class RecordingPublisher:
    """A `Publisher` that remembers what is published; nobody hears it."""

    def __init__(self) -> None:
        self._now, self._put_off = Messages("published"), Messages("published after the commit")
        self._published = Messages("published")

    async def publish(self, message: object, /, *, after_commit: bool = False) -> None:
        """Remember *message*."""
        self._published.add(message)
        (self._put_off if after_commit else self._now).add(message)

    def published(self, type: type[T], *, after_commit: bool | None = None) -> tuple[T, ...]:
        """Return the messages of *type* that were published, in order.

        With *after_commit* only those that were put off until the commit, or were not.
        """
        if after_commit is None:
            return self._published.of(type)
        return (self._put_off if after_commit else self._now).of(type)

    def assert_published(self, first: object, /, *more: object) -> None:
        """Expect that of these classes exactly these messages were published, in this order."""
        __tracebackhide__ = True
        self._published.expect((first, *more))

    def assert_not_published(self, *types: type) -> None:
        """Expect that no message of *types* was published; none at all, if no type is given."""
        __tracebackhide__ = True
        self._published.expect_none(types)
