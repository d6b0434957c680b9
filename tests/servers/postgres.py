"""PostgreSQL servers for the tests: private ones, on free ports of the loopback interface.

They are made of the machine's own PostgreSQL binaries in a `RunFolder`, and end with it.
"""

import os
import re
import shutil
import signal
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.servers.programs import (
    ServerError,
    free_port,
    listens,
    make_folder,
    run_program,
    wait_until,
)
from tests.servers.run_folder import RunFolder

STARTS_MAX: Final = 5
INSTALL: Final = (
    "PostgreSQL's server programs (initdb, pg_ctl, postgres) are neither on PATH nor in "
    "/usr/lib/postgresql/*/bin. Install them; Debian and Ubuntu: apt install postgresql."
)
_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Nobody needs these data after a power cut; tests of durability turn both on again.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "replica",
    "wal_keep_size": "64MB",
    "autovacuum_naptime": "10min",
    "log_min_messages": "warning",
}


@cache
def find_binaries() -> Path | None:
    """Return the folder with the newest PostgreSQL's programs, None if there are none."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(installed, key=lambda folder: _number(folder.parent.name), reverse=True)
    needed = ("initdb", "pg_ctl", "postgres", "pg_basebackup")
    return next(
        (one for one in candidates if all((one / program).exists() for program in needed)), None
    )


def require_binaries() -> None:
    """Skip the test where PostgreSQL is not installed; in CI (variable ``CI``) let it fail."""
    if find_binaries() is None:
        (pytest.skip if os.environ.get("CI", "") in ("", "0", "false") else pytest.fail)(INSTALL)


def _number(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", name))


class PostgresServer:
    """A PostgreSQL server in a folder of its own, with trust for all who can reach it."""

    def __init__(self, folder: Path, port: int) -> None:
        """Stand for the server in *folder*; `create` and `standby` make one."""
        self.folder: Final = folder
        self.port: Final = port

    @staticmethod
    def at(folder: Path) -> "PostgresServer":
        """Return the server that was made in *folder*."""
        return PostgresServer(folder, int((folder / "port").read_text()))

    @staticmethod
    def create(run_folder: Path, name: str, **settings: str) -> "PostgresServer":
        """Make and start a server with nothing in it, with *settings* beside those of tests.

        Raises:
            ServerError: it does not start.
        """
        server = PostgresServer._in_new_folder(run_folder / name)
        server._run(
            *("initdb", "--no-sync", "--pgdata", server.data, "--username", "postgres"),
            *("--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8"),
        )
        server.configure(**{**_SETTINGS, **settings})
        server.start()
        return server

    def standby(self, name: str, **settings: str) -> "PostgresServer":
        """Make and start a standby that follows this server.

        Raises:
            ServerError: it does not start.
        """
        server = PostgresServer._in_new_folder(self.folder.with_name(name))
        server._run(
            *("pg_basebackup", "--pgdata", server.data, "--dbname", self.url()),
            *("--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast"),
            "--no-sync",
        )
        server.configure(**settings)
        server.start()
        return server

    @staticmethod
    def _in_new_folder(folder: Path) -> "PostgresServer":
        make_folder(folder)
        server = PostgresServer(folder, free_port())
        (folder / "port").write_text(str(server.port))
        return server

    @property
    def data(self) -> Path:
        """Where its data are."""
        return self.folder / "data"

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def configure(self, **settings: str) -> None:
        """Add *settings* to its configuration, for the next start."""
        lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
        lines += [f"port = {self.port}\n", f"unix_socket_directories = '{self.folder}'\n"]
        # The last line of a name counts, and this file comes after postgresql.conf.
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(lines)

    def start(self) -> None:
        """Start it, and return when it takes connections.

        Raises:
            ServerError: it does not start.
        """
        for attempt in range(1, STARTS_MAX + 1):
            try:
                self._run("pg_ctl", "start", "-w", "-D", self.data, "-l", self.folder / "log")
            except ServerError:
                # A server that was just killed leaves processes that take a moment to notice.
                if attempt == STARTS_MAX:
                    raise
                time.sleep(0.2 * attempt)
            else:
                return

    def stop(self, mode: str = "fast") -> None:
        """End it: ``fast`` breaks connections off and writes all down; ``immediate`` does not
        write, as in a crash; ``smart`` waits until nobody is connected."""
        self._run("pg_ctl", "stop", "-w", "-D", self.data, "-m", mode)

    def restart(self, mode: str = "fast") -> None:
        """End it, as `stop` does, and start it again."""
        self.stop(mode)
        self.start()

    def reload(self) -> None:
        """Have it read its configuration again."""
        self._run("pg_ctl", "reload", "-D", self.data)

    def kill(self) -> None:
        """Kill its main process (SIGKILL); return when nobody listens any more."""
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.listens, f"port {self.port} still answers")
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def end(self) -> None:
        """End it if it runs, and remove all that it kept."""
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def promote(self) -> None:
        """Make this standby a server of its own; return when it can be written to."""
        self._run("pg_ctl", "promote", "-w", "-D", self.data)

    @property
    def pid(self) -> int:
        """The number of its main process."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    @property
    def listens(self) -> bool:
        """Whether somebody takes connections on its port."""
        return listens(self.port)

    def log(self) -> str:
        """Return what it has said."""
        log = self.folder / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _run(self, program: str, *arguments: str | Path) -> None:
        binaries = find_binaries()
        if binaries is None:
            raise ServerError(INSTALL)
        run_program(self.folder, [binaries / program, *arguments])


def shared_server(run_folder: RunFolder) -> PostgresServer:
    """Return the server that all processes of the test run share, started by the first."""
    ready, folder = run_folder.path / "ready", run_folder.path / "main"
    with run_folder.one_at_a_time():
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed in here
            PostgresServer.create(run_folder.path, "main")
            ready.touch()
    return PostgresServer.at(folder)
