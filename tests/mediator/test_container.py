"""Every container passes the suite of its port."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar

import pytest
from dishka import FromComponent, Provider, make_async_container
from dishka import Scope as DishkaScope

from headwater.adapters.container.dishka import DishkaContainer
from headwater.adapters.container.instances import Instances
from headwater.mediator import Handlers, Mediator, Sender
from headwater.metadata import MessageContext
from headwater.ports.container import Container, Scope
from headwater.testing.conformance.container import (
    Caller,
    ContainerConformance,
    Cursor,
    Engine,
    Journal,
    Session,
)
from tests.mediator.shop import PlaceOrder


def providers(journal: Journal, engine: Engine) -> tuple[Provider, Provider]:
    async def make_engine() -> AsyncGenerator[Engine]:
        async with journal.around("engine"):
            yield engine

    # Dishka hands in the error at the yield instead of raising it there.
    async def make_session(
        engine: Engine, caller: Caller
    ) -> AsyncGenerator[Session, Exception | None]:
        journal.append("+session")
        error = yield Session(engine, caller)
        journal.extend(["!session"] if error is not None else [])
        journal.append("-session")

    async def make_cursor(session: Session) -> AsyncGenerator[Cursor]:
        async with journal.around("cursor"):
            yield Cursor(session)

    app, request = Provider(scope=DishkaScope.APP), Provider(scope=DishkaScope.REQUEST)
    app.provide(make_engine)
    request.provide(make_session)
    request.provide(make_cursor)
    return app, request


class TestDishka(ContainerConformance):
    @pytest.fixture
    def container(self, journal: Journal, engine: Engine) -> Container:
        return DishkaContainer(*providers(journal, engine), from_message=[Caller])


class TestDishkaThatExists(ContainerConformance):
    makes_app_dependencies: ClassVar[bool] = False  # it does, and its owner closes them

    @pytest.fixture
    def container(self, journal: Journal, engine: Engine) -> Container:
        app, request = providers(Journal(), engine)[0], providers(journal, engine)[1]
        request.from_context(Caller)
        return DishkaContainer.of(make_async_container(app, request))


class TestInstances(ContainerConformance):
    makes_app_dependencies: ClassVar[bool] = False

    @pytest.fixture
    def container(self, journal: Journal, engine: Engine) -> Container:
        sessions: dict[int, Session] = {}

        @asynccontextmanager
        async def session(values: Mapping[Any, Any]) -> AsyncGenerator[Session]:
            async with journal.around("session"):
                made = sessions[id(values)] = Session(engine, values[Caller])
                yield made

        @asynccontextmanager
        async def cursor(values: Mapping[Any, Any]) -> AsyncGenerator[Cursor]:
            async with journal.around("cursor"):
                yield Cursor(sessions.get(id(values)) or Session(engine, values[Caller]))

        async def caller(values: Mapping[Any, Any]) -> Caller:
            found: Caller = values[Caller]
            return found

        return Instances(
            {Engine: engine}, per_request={Session: session, Cursor: cursor, Caller: caller}
        )


class Mail:
    def __init__(self, server: str) -> None:
        self.server = server


class Letter:
    def __init__(self, mail: Mail) -> None:
        self.mail = mail


def mailing(**options: Any) -> DishkaContainer:
    def real_mail() -> Mail:
        return Mail("real")

    provider = Provider(scope=DishkaScope.APP)
    provider.provide(real_mail)
    provider.provide(Letter, scope=DishkaScope.REQUEST)
    return DishkaContainer(provider, **options)


async def test_an_override_replaces_a_dependency_wherever_it_is_used() -> None:
    fake = Mail("fake")
    container = mailing(overrides={Mail: fake})

    async with container.request({}) as scope:
        assert (await scope.get(Letter)).mail is fake
    assert await container.get(Mail) is fake


async def test_a_component_of_dishka_can_be_asked_for() -> None:
    def other_mail() -> Mail:
        return Mail("other")

    other = Provider(scope=DishkaScope.APP, component="other")
    other.provide(other_mail)
    default = Provider(scope=DishkaScope.APP)
    default.provide(lambda: Mail("default"), provides=Mail)
    table = Handlers()

    @table.handler
    async def place(
        command: PlaceOrder, mail: Mail, others: Annotated[Mail, FromComponent("other")]
    ) -> str:
        return f"{mail.server} {others.server}"

    mediator = Mediator(table, container=DishkaContainer(default, other))

    assert await mediator.send(PlaceOrder("tea")) == "default other"


class Wide:
    """Outlives a message."""


class Deep:
    """Lives shorter than a message."""


def test_scopes_of_dishka_that_no_message_enters_are_not_found() -> None:
    provider = Provider()
    provider.provide(Wide, scope=DishkaScope.RUNTIME)
    provider.provide(Caller, scope=DishkaScope.SESSION)
    provider.provide(Deep, scope=DishkaScope.ACTION)
    container = DishkaContainer(provider)

    found = [container.find(cls) for cls in (Wide, Caller, Deep)]

    assert [known.scope if known else None for known in found] == [Scope.APP, Scope.REQUEST, None]


async def test_a_provider_can_depend_on_the_current_message() -> None:
    class Letterhead:
        def __init__(self, context: MessageContext, sender: Sender) -> None:
            self.text = str(context.message_id)

    provider = Provider(scope=DishkaScope.REQUEST)
    provider.provide(Letterhead)
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder, head: Letterhead, context: MessageContext) -> str:
        return str(head.text == str(context.message_id))

    container = DishkaContainer(provider, from_message=[MessageContext, Sender])
    mediator = Mediator(table, container=container, propagate_context=True)

    assert await mediator.send(PlaceOrder("tea")) == "True"
