"""Short ways to say how a subscription fares, and to ask a port."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import msgspec

from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus


class Response(msgspec.Struct, frozen=True):
    """What a port answered."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def standing(
    name: str = "sales.mail",
    position: int = 5,
    head: int = 9,
    state: SubscriptionState = SubscriptionState.CATCHING_UP,
    **further: Any,
) -> SubscriptionStatus:
    """Return a status: behind, unless told otherwise."""
    return SubscriptionStatus(name, state, position, head, (position,), **further)


async def ask(address: tuple[str, int], path: str, *, method: str = "GET") -> Response:
    """Ask a port for *path*."""
    return await say(address, f"{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())


async def say(address: tuple[str, int], request: bytes) -> Response:
    """Send *request* to a port; no answer has status 0."""
    reader, writer = await asyncio.open_connection(*address)
    answer = ""
    with suppress(ConnectionResetError):
        writer.write(request)
        answer = (await reader.read()).decode()
    await close(writer)
    if not answer:
        return Response(0, {}, "")
    head, _, body = answer.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Response(int(first.split()[1]), headers, body)


async def close(writer: asyncio.StreamWriter) -> None:
    """Let go of a connection, whether the other side has already."""
    writer.close()
    with suppress(ConnectionResetError):
        await writer.wait_closed()
