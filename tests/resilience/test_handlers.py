"""Class wrappers: handlers under a policy, found by mediators and made by containers as before."""

import copy
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headwater import Command, Event, Handlers, Mediator
from headwater.adapters.container.instances import Instances
from headwater.errors import CircuitOpenError, ConfigurationError
from headwater.resilience import (
    BulkheadHandler,
    CircuitBreaker,
    CircuitBreakerHandler,
    FallbackHandler,
    HandlerWrapper,
    PolicyHandler,
    RateLimitHandler,
    Retry,
    RetryHandler,
    TimeoutHandler,
)
from tests.resilience.driving import LeapingClock, Plan, ends


class SendMail(Command[str]):
    to: str


class DropMail(Command[int]):
    to: str


class UserCreated(Event):
    name: str


class Smtp:
    """A mail server that fails for a while."""

    def __init__(self, *how: object) -> None:
        self.plan = Plan(*how)


class Mailing:
    """Sends mail."""

    def __init__(self, smtp: Smtp) -> None:
        self.smtp = smtp
        self.sent = 0

    async def handle_send(self, command: "SendMail") -> str:
        """Send it."""
        answer = await self.smtp.plan(command.to)
        self.sent += 1
        return str(answer)

    async def handle_created(self, event: UserCreated) -> None:
        await self.smtp.plan(event.name)

    @staticmethod
    async def handle_drop(command: DropMail) -> int:
        return len(command.to)

    def about(self) -> str:
        return "mail"


def retrying(*how: object) -> Mailing:
    return RetryHandler(Mailing(Smtp(*how)), clock=LeapingClock())


async def test_the_methods_of_an_object_stand_under_the_policy() -> None:
    mailing = retrying(*ends(2), "sent")

    assert await mailing.handle_send(SendMail("anna")) == "sent"

    assert mailing.smtp.plan.calls == [("anna",)] * 3
    assert (mailing.sent, mailing.about()) == (1, "mail")


async def test_all_methods_share_one_policy_object() -> None:
    mailing = CircuitBreakerHandler(Mailing(Smtp(*ends(2))), 2)

    with pytest.raises(ConnectionError):
        await mailing.handle_send(SendMail("anna"))
    with pytest.raises(ConnectionError):
        await mailing.handle_created(UserCreated("anna"))

    with pytest.raises(CircuitOpenError):
        await mailing.handle_send(SendMail("anna"))


def test_a_method_keeps_what_it_says() -> None:
    wrapped, bare = retrying("sent").handle_send, Mailing(Smtp()).handle_send

    assert inspect.iscoroutinefunction(wrapped)
    assert inspect.signature(wrapped) == inspect.signature(bare)
    assert (wrapped.__name__, wrapped.__doc__) == ("handle_send", "Send it.")
    assert wrapped.__qualname__ == bare.__qualname__


async def test_a_mediator_finds_the_methods_of_a_wrapped_object() -> None:
    mailing = retrying(*ends(3), "sent")
    table = Handlers()
    table.handler(mailing.handle_send)
    table.on(mailing.handle_created)
    mediator = Mediator(table)

    assert await mediator.send(SendMail("anna")) == "sent"
    await mediator.publish(UserCreated("bert"))

    assert mailing.smtp.plan.calls[3:] == [("anna",), ("bert",)]


async def test_a_mediator_makes_and_calls_a_wrapped_class() -> None:
    class Sending:
        def __init__(self, smtp: Smtp) -> None:
            self._smtp = smtp

        async def handle_send(self, command: SendMail) -> str:
            return str(await self._smtp.plan(command.to))

        @staticmethod
        async def handle_drop(command: DropMail) -> int:
            return len(command.to)

    smtp = Smtp(*ends(3), "sent")
    wrapped = RetryHandler(Sending, clock=LeapingClock())
    table = Handlers()
    table.handler(wrapped)
    mediator = Mediator(table, container=Instances({Smtp: smtp}))

    assert await mediator.send(SendMail("anna")) == "sent"
    assert await mediator.send(DropMail("anna")) == 4

    assert len(smtp.plan.calls) == 4
    assert (wrapped.__name__, wrapped.__module__) == ("Sending", __name__)
    assert issubclass(wrapped, Sending)


def later(error: Exception) -> str:
    return "later"


EACH: list[Any] = [
    (RetryHandler, (4,)),
    (CircuitBreakerHandler, (5,)),
    (TimeoutHandler, (60,)),
    (BulkheadHandler, (10,)),
    (RateLimitHandler, (100,)),
    (FallbackHandler, (later,)),
    (PolicyHandler, (Retry(), CircuitBreaker())),
]


@pytest.mark.parametrize(("wrapper", "arguments"), EACH)
async def test_there_is_one_for_each_policy(
    wrapper: HandlerWrapper[Any], arguments: tuple[Any, ...]
) -> None:
    mailing = wrapper(Mailing(Smtp("sent")), *arguments)

    assert await mailing.handle_send(SendMail("anna")) == "sent"


async def test_wrappers_can_be_put_around_each_other() -> None:
    plan = Plan(ConnectionError())
    inner = CircuitBreakerHandler(Mailing(Smtp(ConnectionError())), 2)
    inner.smtp.plan = plan

    mailing = RetryHandler(inner, clock=LeapingClock())
    with pytest.raises(CircuitOpenError):
        await mailing.handle_send(SendMail("anna"))

    assert len(plan.calls) == 2


def test_a_wrapped_object_can_be_copied_and_shown() -> None:
    mailing = retrying("sent")

    assert copy.copy(mailing).about() == "mail"
    assert repr(mailing).endswith("under a policy")
    assert repr(RetryHandler) == "RetryHandler"


class Nothing:
    """Handles nothing."""


class Plain:
    def handle(self, command: SendMail) -> str:
        return command.to


class Streaming:
    async def handle(self, command: SendMail) -> AsyncIterator[str]:
        yield command.to


async def send(command: SendMail) -> str:
    return command.to


@pytest.mark.parametrize(
    ("inner", "problem"),
    [
        (Nothing(), "no method of Nothing whose name starts with 'handle'"),
        (Nothing, "no method of Nothing"),
        (send, r"A function is decorated: @Retry\(…\)"),
        (Plain(), "Plain.handle, which is a plain 'def'"),
        (Plain, "Plain.handle, which is a plain 'def'"),
        (Streaming(), "Streaming.handle, which is an async generator"),
    ],
)
def test_what_can_not_be_wrapped_is_said(inner: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        RetryHandler(inner)


def test_a_wrong_argument_of_the_policy_is_said() -> None:
    with pytest.raises(ConfigurationError, match="attempts must be"):
        RetryHandler(Mailing(Smtp()), attempts=0)
