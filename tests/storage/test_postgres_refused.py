"""What a PostgreSQL server refuses is told clearly, without a secret, and nothing is lost by it."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.schema import upgrade
from headwater.errors import (
    ConfigurationError,
    StorageBusyError,
    StorageReadOnlyError,
    StorageUnavailableError,
)
from headwater.ports.changes import Committed
from headwater.ports.rows import CollectionSpec
from headwater.testing.conformance.builders import appending, new_event, row, whole_log, writing
from tests.servers.postgres import PostgresServer

SECRET = "s3cr3t-w0rd"
SHORT = 0.3


@asynccontextmanager
async def opened(settings: PostgresSettings) -> AsyncGenerator[PostgresStorage, None]:
    storage = PostgresStorage(settings)
    await storage.open()
    yield storage
    await storage.close()


@pytest.fixture
async def settings(postgres_url: str, postgres_schema: str, role: str) -> PostgresSettings:
    """A storage on the shared server, and a role of its own."""
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}&moves_outbox=false"
    settings = PostgresSettings.from_url(url)
    await upgrade(settings)
    return replace(settings, user=role)


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[Connection]:
    """A connection of somebody else's."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def role(sql: Connection, postgres_schema: str) -> AsyncIterator[str]:
    """A role that no other test uses."""
    name = f"r_{postgres_schema}"
    await sql.execute(f"CREATE ROLE {name} LOGIN SUPERUSER")
    yield name
    await sql.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


def told(error: BaseException | None) -> str:
    """Return all that a traceback of *error* would say."""
    texts: list[str] = []
    while error is not None:
        texts.append(f"{error!r} {error}")
        error = error.__cause__ or error.__context__
    return " ".join(texts)


# ------------------------------------------------------------------------- full and broken off


async def test_who_finds_no_free_connection_waits_for_one_and_then_is_told(
    new_postgres: Callable[..., PostgresServer],
) -> None:
    server = new_postgres(
        max_connections="4", superuser_reserved_connections="0", max_wal_senders="0"
    )
    url = f"{server.url()}?sslmode=disable&auto_migrate=true&moves_outbox=false"
    settings = PostgresSettings.from_url(url)
    async with (
        opened(settings) as storage,
        opened(replace(settings, patience_seconds=SHORT)) as hasty,
    ):
        await storage.commit(appending("order-1", new_event()))
        others = [await asyncpg.connect(server.url()) for _ in range(2)]

        reading = asyncio.create_task(storage.head())
        with pytest.raises(StorageUnavailableError, match="too many"):
            await hasty.head()
        committed = await hasty.commit(appending("order-1", new_event()))
        await others[0].close()

        assert await reading == committed.position == 2
        await others[1].close()


async def test_a_statement_that_is_broken_off_is_told_as_such(
    settings: PostgresSettings, sql: Connection, role: str
) -> None:
    await sql.execute(f"ALTER ROLE {role} SET statement_timeout = '50ms'")
    async with opened(settings) as storage:
        async with sql.transaction():
            await sql.execute(
                "SELECT pg_advisory_xact_lock(1212438354, $1::regnamespace::oid::integer)",
                settings.schema,
            )
            with pytest.raises(StorageBusyError, match="statement_timeout"):
                await storage.commit(appending("order-1", new_event()))

        assert (await storage.commit(appending("order-1", new_event()))).position == 1


@pytest.mark.parametrize("breaks_off", ["the storage", "the caller"])
async def test_a_read_that_is_broken_off_does_not_go_on_in_the_server(
    settings: PostgresSettings, sql: Connection, breaks_off: str
) -> None:
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::text::regclass"
    events = f"{settings.schema}.events"
    seconds = SHORT if breaks_off == "the storage" else 60
    async with opened(replace(settings, command_seconds=seconds)) as storage:
        async with sql.transaction():
            await sql.execute(f"LOCK TABLE {events}")
            reading = asyncio.ensure_future(storage.read_log())
            while not await sql.fetchval(waits, events):  # noqa: ASYNC110 - a server is waited for
                await asyncio.sleep(0.001)
            if breaks_off == "the caller":
                reading.cancel()
            with pytest.raises((StorageUnavailableError, asyncio.CancelledError)):
                await reading

            while await sql.fetchval(waits, events):  # noqa: ASYNC110 - a server is waited for
                await asyncio.sleep(0.001)

        assert (await storage.read_log()).events == ()


async def test_idle_connections_that_the_server_ends_are_made_anew(
    settings: PostgresSettings, sql: Connection, role: str
) -> None:
    await sql.execute(f"ALTER ROLE {role} SET idle_session_timeout = '150ms'")
    mine = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = $1)"
    async with opened(settings) as storage:
        for position in (1, 2, 3):
            committed = await storage.commit(appending("order-1", new_event()))
            assert committed.position == await storage.head() == position
            while await sql.fetchval(mine, role):  # noqa: ASYNC110 - a server is waited for
                await asyncio.sleep(0.001)


async def test_of_a_deadlock_with_somebody_else_both_get_out(
    settings: PostgresSettings, sql: Connection
) -> None:
    rows = f"{settings.schema}.rows_many"
    async with opened(settings) as storage:
        await storage.prepare_collections([CollectionSpec("many", ("id",))])
        await storage.commit(writing(row("many", "1"), row("many", "2")))
        async with sql.transaction():
            await sql.execute("SET LOCAL deadlock_timeout = '10s'")
            await sql.execute(f"SELECT FROM {rows} WHERE key = '2' FOR UPDATE")
            both = writing(row("many", "1", data="[1]"), row("many", "2", data="[2]"))
            commit = asyncio.ensure_future(storage.commit(both))
            waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid <> $1)"
            while not await sql.fetchval(waits, 0):  # noqa: ASYNC110 - a server is waited for
                await asyncio.sleep(0.001)

            await sql.execute(f"SELECT FROM {rows} WHERE key = '1' FOR UPDATE")

        assert isinstance(await commit, Committed)
        found = await storage.get_rows("many", ["1", "2"])
        assert [found[key].data for key in ("1", "2")] == ["[1]", "[2]"]


async def test_a_database_that_was_read_only_for_a_while_is_written_to_again(
    settings: PostgresSettings, sql: Connection, role: str
) -> None:
    await sql.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    async with opened(settings) as storage:
        with pytest.raises(StorageReadOnlyError):
            await storage.commit(appending("order-1", new_event()))
        assert await storage.head() == 0

        await sql.execute(f"ALTER ROLE {role} RESET default_transaction_read_only")

        # By a new connection, as after a failover: the old one would be read-only for ever.
        assert (await storage.commit(appending("order-1", new_event()))).position == 1


# -------------------------------------------------------------------------- who may come in


@pytest.fixture
async def guarded(new_postgres: Callable[..., PostgresServer], tmp_path: Path) -> PostgresServer:
    """A server that wants a password, and has a certificate for 127.0.0.1, signed by itself."""
    server = new_postgres()
    connection = await asyncpg.connect(server.url())
    await connection.execute(f"ALTER ROLE postgres PASSWORD '{SECRET}'")
    await connection.close()
    certify(server, tmp_path / "root.pem")
    (server.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    server.configure(ssl="on")
    await asyncio.to_thread(server.reload)
    return server


def certify(server: PostgresServer, root: Path) -> None:
    """Give *server* a key and a certificate, which is also written to *root*."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    root.write_bytes(text)
    owner = server.data.stat()
    for file, content in (("server.crt", text), ("server.key", private)):
        place = server.data / file
        place.write_bytes(content)
        place.chmod(0o600)
        os.chown(place, owner.st_uid, owner.st_gid)


async def test_who_is_not_let_in_is_told_why_and_no_secret(
    guarded: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "root.pem"
    url = guarded.url().replace("postgres@", f"postgres:{SECRET}@")
    right = replace(
        PostgresSettings.from_url(url), sslmode="verify-full", sslrootcert=root, auto_migrate=True
    )
    wrong: list[tuple[PostgresSettings, type[Exception], str]] = [
        (replace(right, password=f"{SECRET}?"), ConfigurationError, "password"),
        (replace(right, password=None), ConfigurationError, "password"),
        (replace(right, database="nowhere"), ConfigurationError, "nowhere"),
        # Nobody whom this machine trusts has signed it; and it is for another name.
        (replace(right, sslrootcert=None), ConfigurationError, "certificate"),
        (replace(right, hosts=(("localhost", guarded.port),)), ConfigurationError, "certificate"),
        (replace(right, hosts=(("127.0.0.1", 1),)), StorageUnavailableError, "can't be reached"),
    ]

    for settings, error, problem in wrong:
        with pytest.raises(error, match=problem) as refusal:
            await PostgresStorage(settings).open()
        assert SECRET not in told(refusal.value)
    async with opened(right) as storage:
        assert (await storage.commit(appending("order-1", new_event()))).position == 1
    for mode in ("verify-ca", "require", "prefer"):
        async with opened(replace(right, sslmode=mode)) as storage:
            assert len(await whole_log(storage)) == 1
    assert SECRET not in caplog.text


async def test_who_was_let_in_before_waits_while_the_server_refuses(
    postgres: PostgresServer, postgres_database: str
) -> None:
    name = postgres_database.rpartition("/")[2]
    settings = replace(PostgresSettings.from_url(postgres_database), auto_migrate=True)
    operator = await asyncpg.connect(postgres.url())
    async with opened(settings) as storage:
        await storage.commit(appending("order-1", new_event()))
        # As while a database is restored beside the old one, which it then takes the name of.
        await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await operator.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name
        )
        commit = asyncio.create_task(storage.commit(appending("order-1", new_event())))
        reading = asyncio.create_task(storage.head())
        for rename in (f"{name} RENAME TO {name}_away", f"{name}_away RENAME TO {name}"):
            done, _ = await asyncio.wait([commit, reading], timeout=0.2)
            assert not done
            await operator.execute(f"ALTER DATABASE {rename}")
        await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

        assert (await commit).position == 2
        assert await reading in (1, 2)
    await operator.close()


async def test_a_password_that_changes_is_asked_for_again(guarded: PostgresServer) -> None:
    passwords = [SECRET]

    async def token() -> str:
        return passwords[-1]

    settings = replace(PostgresSettings.from_url(guarded.url()), password=token, auto_migrate=True)
    async with opened(settings) as storage:
        await storage.commit(appending("order-1", new_event()))
        operator = await asyncpg.connect(guarded.url(), password=SECRET)
        await operator.execute("ALTER ROLE postgres PASSWORD 'fresh'")
        passwords.append("fresh")
        await operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )

        assert (await storage.commit(appending("order-1", new_event()))).position == 2
        assert await storage.head() == 2
        await operator.close()


# ------------------------------------------------------------------------------ several hosts


@pytest.fixture
def silent() -> Iterator[int]:
    """A port on which connections are made, and nobody ever says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_host_that_gives_no_answer_keeps_nobody_from_the_next(
    settings: PostgresSettings, silent: int
) -> None:
    gone = (("127.0.0.1", silent), ("127.0.0.1", 1))
    several = replace(settings, hosts=(*gone, *settings.hosts), connect_seconds=SHORT)

    async with opened(several) as storage:
        assert (await storage.commit(appending("order-1", new_event()))).position == 1
    with pytest.raises(StorageUnavailableError):
        await PostgresStorage(replace(several, hosts=gone)).open()


async def test_where_all_are_standbys_a_commit_waits_for_one_to_take_over(
    settings: PostgresSettings, sql: Connection, role: str
) -> None:
    several = replace(settings, hosts=settings.hosts * 2)
    async with opened(several) as storage:
        await sql.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
        mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1"
        await sql.execute(mine, role)
        hasty = PostgresStorage(replace(several, patience_seconds=SHORT))
        with pytest.raises(StorageUnavailableError, match="promote"):
            await hasty.open()

        commit = asyncio.ensure_future(storage.commit(appending("order-1", new_event())))
        tried = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1"
        while not await sql.fetchval(tried, role):  # noqa: ASYNC110 - a server is waited for
            await asyncio.sleep(0.001)
        await sql.execute(f"ALTER ROLE {role} RESET default_transaction_read_only")

        assert (await commit).position == 1
