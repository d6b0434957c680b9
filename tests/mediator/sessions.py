"""Dependencies of an app's and of a message's lifetime."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from headwater.adapters.container.instances import Instances


class Stock:
    """Of scope APP in these tests."""


class Session:
    """Of scope REQUEST in these tests; says when it is closed."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.closed = False


class Sessions:
    """Makes sessions, one per request scope."""

    def __init__(self) -> None:
        self.made: list[Session] = []

    @asynccontextmanager
    async def __call__(self, values: Any) -> AsyncGenerator[Session]:
        session = Session(len(self.made))
        self.made.append(session)
        try:
            yield session
        finally:
            session.closed = True


def sessions() -> tuple[Instances, Sessions]:
    made = Sessions()
    return Instances({Stock: Stock()}, per_request={Session: made}), made
