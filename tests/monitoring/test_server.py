"""The port itself: short answers, limits, and nothing left behind."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
import pytest_asyncio

from headwater.errors import ConfigurationError
from headwater.monitoring.server import (
    CONNECTIONS_MAX,
    REQUEST_BYTES_MAX,
    Answer,
    MonitoringServer,
)
from headwater.monitoring.settings import Monitoring
from tests.monitoring.conftest import ask, close, say

HOST = "127.0.0.1"


async def hello() -> Answer:
    return Answer(b"hello\n")


async def broken() -> Answer:
    raise RuntimeError("no page")


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[MonitoringServer]:
    server = MonitoringServer({"/hello": hello, "/broken": broken}, host=HOST, port=0)
    await server.start()
    yield server
    await server.stop()


async def test_a_page_is_answered(server: MonitoringServer) -> None:
    answer = await ask(server.address, "/hello?verbose")

    assert (answer.status, answer.body) == (200, "hello\n")
    assert answer.headers["content-length"] == "6"
    assert answer.headers["connection"] == "close"


async def test_head_is_answered_without_the_body(server: MonitoringServer) -> None:
    answer = await ask(server.address, "/hello", method="HEAD")

    assert (answer.status, answer.body) == (200, "")
    assert answer.headers["content-length"] == "6"


async def test_another_path_says_which_there_are(server: MonitoringServer) -> None:
    answer = await ask(server.address, "/healthz")

    assert (answer.status, answer.body) == (404, "/hello\n/broken\n")


async def test_nothing_can_be_written(server: MonitoringServer) -> None:
    assert (await ask(server.address, "/hello", method="POST")).status == 405


async def test_a_page_that_fails_is_told_as_failed_and_logged(
    server: MonitoringServer, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await ask(server.address, "/broken")

    assert answer.status == 500
    assert "no page" not in answer.body
    assert "no page" in caplog.text


async def test_a_request_that_is_too_long_is_refused(server: MonitoringServer) -> None:
    long = b"x" * (REQUEST_BYTES_MAX + 1)

    answer = await say(server.address, b"GET /hello HTTP/1.1\r\nA: " + long + b"\r\n\r\n")

    assert answer.status == 431


async def test_more_than_so_many_connections_get_no_answer(server: MonitoringServer) -> None:
    silent = [await asyncio.open_connection(*server.address) for _ in range(CONNECTIONS_MAX)]

    assert (await ask(server.address, "/hello")).status == 0

    for _, writer in silent:
        await close(writer)


async def test_a_stop_cuts_off_whoever_is_silent_and_frees_the_port() -> None:
    server = MonitoringServer({"/hello": hello}, host=HOST, port=0)
    await server.start()
    address = server.address
    reader, writer = await asyncio.open_connection(*address)
    assert (await ask(address, "/hello")).status == 200

    await server.stop()

    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    await close(writer)
    with pytest.raises(ConnectionRefusedError):
        await ask(address, "/hello")


async def test_a_port_that_is_taken_is_named(server: MonitoringServer) -> None:
    second = MonitoringServer({"/hello": hello}, host=HOST, port=server.address[1])

    with pytest.raises(ConfigurationError, match=rf"{server.address[1]}.* taken"):
        await second.start()
    await second.stop()


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1"):
        await MonitoringServer({}, host="192.0.2.1", port=0).start()


async def test_only_this_machine_is_answered_unless_told(server: MonitoringServer) -> None:
    assert Monitoring().host == HOST
    assert server.address[0] == HOST


def test_a_port_out_of_range_and_an_empty_host_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="65535"):
        Monitoring(port=65_536)
    with pytest.raises(ConfigurationError, match="host"):
        Monitoring(host="")
