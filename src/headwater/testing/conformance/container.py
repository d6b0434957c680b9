"""The suite that every container passes: the promises of `headwater.ports.container`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, ClassVar

import pytest

from headwater.ports.container import Container, Provided, Scope


class Engine:
    """Of scope APP."""


class Caller:
    """Brought by each message."""


class Session:
    """Of scope REQUEST, made out of the engine and the caller."""

    def __init__(self, engine: Engine, caller: Caller) -> None:
        self.engine, self.caller = engine, caller


class Cursor:
    """Of scope REQUEST, made out of the session."""

    def __init__(self, session: Session) -> None:
        self.session = session


class Journal(list[str]):
    """Notes what is opened and closed."""

    @asynccontextmanager
    async def around(self, what: str) -> AsyncGenerator[None]:
        """Note ``+what`` and ``-what``; with ``!`` if it was left by an error."""
        self.append(f"+{what}")
        try:
            yield
        except Exception:
            self.append(f"!{what}")
            raise
        finally:
            self.append(f"-{what}")


class ContainerConformance:
    """A container is tested by a class that makes one of these dependencies::

        class TestMine(ContainerConformance):
            @pytest.fixture
            def container(self, journal: Journal, engine: Engine) -> Container: ...

    It gives *engine* as `Engine` of scope APP; `Session` and `Cursor` of scope REQUEST, noting
    "session" and "cursor" in *journal* around each; and `Caller` is what a message brings.
    """

    makes_app_dependencies: ClassVar[bool] = True
    """Whether it makes the engine itself, noting "engine", and so closes it."""

    @pytest.fixture
    def journal(self) -> Journal:
        return Journal()

    @pytest.fixture
    def engine(self) -> Engine:
        return Engine()

    def test_find_tells_the_scope_and_makes_nothing(
        self, container: Container, journal: Journal
    ) -> None:
        assert self._found(container, Engine).scope is Scope.APP
        assert self._found(container, Session).scope is Scope.REQUEST
        assert self._found(container, Caller).scope is Scope.REQUEST
        assert journal == []

    def test_find_knows_nothing_of_what_is_not_provided(self, container: Container) -> None:
        assert container.find(Journal) is None
        assert container.find(Session | None) is None
        assert container.find(list[Session]) is None

    def test_metadata_that_means_nothing_here_changes_nothing(self, container: Container) -> None:
        assert self._found(container, Annotated[Engine, "x"]).scope is Scope.APP
        assert self._found(container, Annotated[Session, "x"]).scope is Scope.REQUEST
        assert container.find(Annotated[Journal, "x"]) is None

    async def test_an_app_dependency_is_always_the_same(
        self, container: Container, engine: Engine
    ) -> None:
        key = self._found(container, Annotated[Engine, "x"]).key

        assert await container.get(key) is engine
        async with container.request({Caller: Caller()}) as scope:
            assert await scope.get(key) is engine
        assert await container.get(key) is engine

    async def test_a_request_dependency_is_the_same_within_a_scope_and_new_in_the_next(
        self, container: Container
    ) -> None:
        key = self._found(container, Session).key
        seen: list[Session] = []
        for _ in range(2):
            async with container.request({Caller: Caller()}) as scope:
                seen += [await scope.get(key), await scope.get(key)]

        assert seen[0] is seen[1]
        assert seen[2] is seen[3]
        assert seen[1] is not seen[2]

    async def test_what_a_message_brings_can_be_depended_on(
        self, container: Container, engine: Engine
    ) -> None:
        caller = Caller()

        async with container.request({Caller: caller}) as scope:
            cursor = await scope.get(self._found(container, Cursor).key)
            assert await scope.get(self._found(container, Caller).key) is caller

        assert cursor.session.caller is caller
        assert cursor.session.engine is engine

    async def test_what_was_made_is_closed_in_reverse_order_when_the_scope_is_left(
        self, container: Container, journal: Journal
    ) -> None:
        async with container.request({Caller: Caller()}) as scope:
            await scope.get(self._found(container, Session).key)
            await scope.get(self._found(container, Cursor).key)
            of_scope = [note for note in journal if "engine" not in note]
            assert of_scope == ["+session", "+cursor"]

        assert journal[-2:] == ["-cursor", "-session"]

    async def test_what_nobody_asked_for_is_not_made(
        self, container: Container, journal: Journal
    ) -> None:
        async with container.request({}):
            pass

        assert journal == []

    async def test_an_error_closes_the_scope_and_is_seen_there(
        self, container: Container, journal: Journal
    ) -> None:
        async def fail() -> None:
            async with container.request({Caller: Caller()}) as scope:
                await scope.get(self._found(container, Session).key)
                raise ValueError("from inside")

        with pytest.raises(ValueError, match="from inside"):
            await fail()

        assert journal[-2:] == ["!session", "-session"]

    async def test_scopes_at_the_same_time_are_apart(self, container: Container) -> None:
        key = self._found(container, Session).key

        async with (
            container.request({Caller: Caller()}) as first,
            container.request({Caller: Caller()}) as second,
        ):
            assert await first.get(key) is not await second.get(key)

    async def test_close_closes_what_the_container_made_and_may_come_twice(
        self, container: Container, journal: Journal
    ) -> None:
        await container.get(self._found(container, Engine).key)

        await container.close()
        await container.close()

        assert journal == (["+engine", "-engine"] if self.makes_app_dependencies else [])

    def _found(self, container: Container, dependency: object) -> Provided:
        provided = container.find(dependency)
        assert provided is not None
        return provided
