"""A PostgreSQL server that the whole test run shares, and a place in it for each test."""

from collections.abc import Callable, Generator
from itertools import count
from uuid import uuid4

import psycopg
import pytest

from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import PostgresServer, require_binaries, shared_server
from tests.servers.run_folder import RunFolder, this_run


@pytest.fixture(scope="session")
def postgres_run_folder() -> Generator[RunFolder, None, None]:
    """Where this test run has its servers; with pytest-xdist all workers share it."""
    require_binaries()
    # Other folders of tests import this fixture, and get a folder of the same name.
    folder = RunFolder(this_run())
    yield folder
    folder.leave()


@pytest.fixture(scope="session")
def postgres(postgres_run_folder: RunFolder) -> PostgresServer:
    """A server that all tests share: it is neither stopped nor configured by any of them."""
    return shared_server(postgres_run_folder)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of a database that all tests share; each uses a schema of its own."""
    return postgres.url()


@pytest.fixture
def postgres_schema() -> str:
    """The name of a schema that does not exist and that no other test uses."""
    return f"t_{uuid4().hex[:16]}"


@pytest.fixture
def postgres_database(postgres: PostgresServer) -> str:
    """The URL of an empty database that no other test uses."""
    name = f"t_{uuid4().hex[:16]}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return postgres.url(name)


@pytest.fixture(scope="session")
def pgbouncer(
    postgres_run_folder: RunFolder, postgres: PostgresServer
) -> Generator[PgBouncer, None, None]:
    """PgBouncer in transaction mode in front of the shared server, with a few connections.

    Tests share it and don't stop it.
    """
    pooler = PgBouncer.create(postgres_run_folder.path, f"p-{uuid4().hex[:8]}", postgres)
    yield pooler
    pooler.end()


@pytest.fixture
def new_postgres(
    postgres_run_folder: RunFolder,
) -> Generator[Callable[..., PostgresServer], None, None]:
    """Make servers that the test may stop, kill and promote; settings are keywords.

    They and their standbys are ended with the test.
    """
    name, numbers = f"s-{uuid4().hex[:8]}", count(1)

    def create(**settings: str) -> PostgresServer:
        return PostgresServer.create(
            postgres_run_folder.path, f"{name}-{next(numbers)}", **settings
        )

    yield create
    for folder in postgres_run_folder.path.glob(f"{name}-*"):
        PostgresServer.at(folder).end()
