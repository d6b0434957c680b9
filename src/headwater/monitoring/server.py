"""A small HTTP server for probes and scrapers: short answers to GET, nothing else."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from headwater.errors import ConfigurationError
from headwater.subscriptions.detachment import context_of_no_message

REQUEST_BYTES_MAX: Final = 8192
"""How long a request's line and headers may be together."""

REQUEST_SECONDS: Final = 10.0
"""How long one request may take, from the connection to the end of the answer."""

CONNECTIONS_MAX: Final = 32
"""How many connections may be open at once; one more is closed without an answer."""

PLAIN: Final = "text/plain; charset=utf-8"

_log = logging.getLogger("headwater")


class Answer(msgspec.Struct, frozen=True):
    """What is answered to a GET."""

    body: bytes
    content_type: str = PLAIN
    status: HTTPStatus = HTTPStatus.OK


Page = Callable[[], Awaitable[Answer]]


class MonitoringServer:
    """Answers GET and HEAD for a few fixed paths, one request per connection."""

    def __init__(self, pages: Mapping[str, Page], *, host: str, port: int) -> None:
        """Serve *pages*, by path, on *host* and *port* (0: a free one) once it is started."""
        self._pages, self._host, self._port = pages, host, port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the address is taken, or is none of this machine's.
        """
        try:
            self._server = await asyncio.start_server(
                self._accept, self._host, self._port, limit=REQUEST_BYTES_MAX
            )
        except OSError as error:
            where = f"{self._host}:{self._port}"
            if error.errno == errno.EADDRINUSE:
                raise ConfigurationError(
                    f"Port {where} of the monitoring is taken by another program, or by another "
                    f"worker on this machine. Give each a port of its own, or 0 for a free one."
                ) from error
            raise ConfigurationError(f"Monitoring can't listen on {where}: {error}.") from error
        _log.info("Monitoring at http://%s:%s/ready", *self.address)

    @property
    def address(self) -> tuple[str, int]:
        """The host and port on which it listens.

        Raises:
            ConfigurationError: it does not listen.
        """
        if self._server is None or not self._server.sockets:
            raise ConfigurationError("Monitoring does not listen: the app is not running.")
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def stop(self) -> None:
        """Listen no more, and cut off what is still asked."""
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        await self._server.wait_closed()
        self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= CONNECTIONS_MAX:
            writer.close()
            return
        # A task of ours, and not one of asyncio's: that logs it as an error that it is cut off.
        connection = asyncio.create_task(
            self._serve(reader, writer),
            name="headwater monitoring",
            context=context_of_no_message(),
        )
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                writer.write(await self._response(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError) as error:
            _log.debug("Monitoring: a request was not finished: %r", error)
        finally:
            # Also from somebody who does not read what is left of an answer.
            writer.transport.abort()

    async def _response(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            return _http(Answer(b"too long\n", status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        target = rest.partition(" ")[0]
        if method not in ("GET", "HEAD"):
            return _http(Answer(b"only GET\n", status=HTTPStatus.METHOD_NOT_ALLOWED))
        page = self._pages.get(target.partition("?")[0])
        if page is None:
            paths = "\n".join(self._pages) + "\n"
            return _http(Answer(paths.encode(), status=HTTPStatus.NOT_FOUND))
        return _http(await self._answer(target, page), with_body=method == "GET")

    async def _answer(self, target: str, page: Page) -> Answer:
        try:
            return await page()
        except Exception:  # noqa: BLE001 - the probe gets an answer, who reads the log the reason
            _log.exception("Monitoring: %s failed", target)
            return Answer(b"failed; see the log\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)


def _http(answer: Answer, *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n"
        f"Cache-Control: no-store\r\n"
        f"Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (answer.body if with_body else b"")
