"""PgBouncer in transaction mode, in front of a PostgreSQL server of the tests."""

import os
import shutil
import signal
from pathlib import Path
from typing import Final

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.programs import free_port, listens, make_folder, run_program, wait_until

_CONFIGURATION: Final = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
pidfile = {folder}/pgbouncer.pid
logfile = {folder}/log
"""


class PgBouncer:
    """A PgBouncer that shares a few connections to a server, one transaction at a time."""

    def __init__(self, folder: Path, port: int) -> None:
        """Stand for the one in *folder*; `create` makes one."""
        self.folder: Final = folder
        self.port: Final = port

    @staticmethod
    def create(
        run_folder: Path, name: str, server: PostgresServer, *, connections: int = 3
    ) -> "PgBouncer":
        """Make and start one in front of *server*; skip the test where it is not installed.

        Raises:
            ServerError: it does not start.
        """
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if program is None:
            pytest.skip("PgBouncer is not installed; Debian and Ubuntu: apt install pgbouncer.")
        pooler = PgBouncer(run_folder / name, free_port())
        make_folder(pooler.folder)
        (pooler.folder / "pgbouncer.ini").write_text(
            _CONFIGURATION.format(
                server=server.port, port=pooler.port, folder=pooler.folder, connections=connections
            )
        )
        run_program(pooler.folder, [program, "--daemon", "pgbouncer.ini"])
        wait_until(lambda: listens(pooler.port), "PgBouncer does not answer")
        return pooler

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of the server's databases through it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def end(self) -> None:
        """End it, breaking off what goes through it, and remove its folder."""
        os.kill(int((self.folder / "pgbouncer.pid").read_text()), signal.SIGKILL)
        wait_until(lambda: not listens(self.port), f"port {self.port} still answers")
        shutil.rmtree(self.folder)
