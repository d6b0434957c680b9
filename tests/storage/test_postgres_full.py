"""A PostgreSQL server whose disk is full: told, nothing lost, and it goes on once there is room."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.errors import StorageFullError
from headwater.ports.changes import NewEvent
from headwater.testing.conformance.builders import appending, new_event, whole_log
from tests.servers.postgres import PostgresServer, find_binaries

EVENTS_MAX = 100


def start_with_small_disk(server: PostgresServer) -> Path:
    """Start *server* with a folder of 16 MB that only it can see, and that ends with it."""
    small = server.folder / "small"
    small.mkdir()
    owner, binaries = server.data.stat(), find_binaries()
    assert binaries is not None
    os.chown(small, owner.st_uid, owner.st_gid)
    mount = f"mount -t tmpfs -o size=16m,uid={owner.st_uid},gid={owner.st_gid} tmpfs {small}"
    start = f"{binaries}/pg_ctl start -w -D {server.data} -l {server.folder}/log >/dev/null 2>&1"
    as_owner = f"setpriv --reuid {owner.st_uid} --regid {owner.st_gid} --clear-groups {start}"
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("only root can give a server a small disk")
    started = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{mount} || exit 77; cd {server.folder}; {as_owner}"],
        check=False,
    )
    if started.returncode == 77:
        pytest.skip("this machine does not let root mount a disk")
    assert started.returncode == 0, server.log()
    return small


async def fill(storage: PostgresStorage) -> tuple[list[bytes], NewEvent]:
    """Append until the disk is full; return the ids of what was appended, and what was refused."""
    done: list[bytes] = []
    while True:
        event = new_event(data=f'"{secrets.token_hex(300_000)}"')
        try:
            await storage.commit(appending("order-1", event))
        except StorageFullError:
            return done, event
        done.append(event.id)
        assert len(done) < EVENTS_MAX


@pytest.fixture
def server(new_postgres: Callable[..., PostgresServer]) -> PostgresServer:
    server = new_postgres()
    server.stop()
    return server


@pytest.fixture
def small(server: PostgresServer) -> Path:
    """A folder of the started server that has little room."""
    return start_with_small_disk(server)


async def test_a_full_disk_is_told_and_nothing_is_lost_and_room_helps(
    server: PostgresServer, small: Path
) -> None:
    sql = await asyncpg.connect(server.url())
    await sql.execute(f"CREATE TABLESPACE small LOCATION '{small}'")
    await sql.execute("ALTER DATABASE postgres SET default_tablespace = small")
    await sql.execute("CREATE TABLE filler TABLESPACE small AS SELECT generate_series(1, 100000)")
    url = f"{server.url()}?sslmode=disable&auto_migrate=true"
    storage = PostgresStorage(PostgresSettings.from_url(url))
    await storage.open()

    done, refused = await fill(storage)
    assert [event.id for event in await whole_log(storage)] == done
    await sql.execute("DROP TABLE filler")
    committed = await storage.commit(appending("order-1", refused))

    assert committed.position == len(done) + 1
    assert [event.id for event in await whole_log(storage)] == [*done, refused.id]
    await storage.close()
    await sql.close()
