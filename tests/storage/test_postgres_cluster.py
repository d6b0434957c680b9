"""The servers that the tests run on: shared, stopped, promoted, and never left behind."""

import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.servers import postgres as servers
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import PostgresServer
from tests.servers.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
USE = """
import sys
from tests.servers.postgres import shared_server
from tests.servers.run_folder import RunFolder
server = shared_server(RunFolder(sys.argv[1]))
print(server.pid, server.port, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def users() -> Generator[Callable[[str], subprocess.Popen[str]], None, None]:
    """Start processes that use the shared server of a run until they are killed."""
    started: list[subprocess.Popen[str]] = []

    def start(run: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, "-c", USE, run], cwd=ROOT, stdin=pipe, stdout=pipe, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def fetch(server: PostgresServer, sql: str) -> object:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute(sql.encode()).fetchone()
        return row[0] if row else None


@pytest.mark.usefixtures("postgres_run_folder")
def test_processes_of_one_run_share_a_server_that_ends_when_the_last_is_killed(
    users: Callable[[str], subprocess.Popen[str]],
) -> None:
    run = uuid4().hex[:12]
    first, second = users(run), users(run)
    (pid, port), other = said(first), said(second)
    folder = RunFolder.path_of(run)
    server = PostgresServer(folder / "main", port)

    first.kill()
    first.wait()

    assert other == [pid, port]
    assert fetch(server, "SELECT 1") == 1
    second.kill()
    assert comes_true(lambda: not server.listens)
    assert comes_true(lambda: not folder.exists())


def test_a_server_that_is_killed_can_be_started_again(
    new_postgres: Callable[..., PostgresServer],
) -> None:
    server = new_postgres(fsync="on")
    pid = server.pid

    server.kill()
    assert not server.listens
    server.start()

    assert server.pid != pid
    assert fetch(server, "SHOW fsync") == "on"


def test_a_standby_follows_and_can_be_promoted(
    new_postgres: Callable[..., PostgresServer],
) -> None:
    server = new_postgres()
    standby = server.standby(f"{server.folder.name}-standby")
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE t (x int)")
    assert comes_true(lambda: fetch(standby, "SELECT to_regclass('t') IS NOT NULL") is True)

    server.stop("immediate")
    standby.promote()

    assert fetch(standby, "INSERT INTO t VALUES (8) RETURNING x") == 8


def test_a_test_can_have_a_database_of_its_own(postgres_database: str) -> None:
    with psycopg.connect(postgres_database) as connection:
        found = connection.execute("SELECT current_database()").fetchone()

    assert found is not None
    assert str(found[0]) in postgres_database


def test_clients_of_pgbouncer_share_its_connections_by_transaction(pgbouncer: PgBouncer) -> None:
    clients = [psycopg.connect(pgbouncer.url(), autocommit=True) for _ in range(10)]

    backends = [client.execute("SELECT pg_backend_pid()").fetchone() for client in clients]

    assert len(set(backends)) <= 3
    for client in clients:
        client.close()


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail), ("", pytest.skip)])
def test_without_postgres_ci_fails_and_others_skip_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: Any
) -> None:
    monkeypatch.setattr(servers, "find_binaries", lambda: None)
    monkeypatch.setenv("CI", ci)

    with pytest.raises(outcome.Exception, match="apt install postgresql"):
        servers.require_binaries()
