"""A PostgreSQL server for a benchmark, set as PostgreSQL comes, fsync included."""

import os
from collections.abc import Generator
from contextlib import contextmanager

from tests.servers.postgres import PostgresServer, require_binaries
from tests.servers.run_folder import RunFolder

DEFAULTS = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "autovacuum_naptime": "1min",
}
"""PostgreSQL's own, where the servers of the tests have others."""


@contextmanager
def server_at(url: str | None) -> Generator[str]:
    """Yield *url*, or that of a server that is made for the block and ends with it."""
    if url is not None:
        yield url
        return
    require_binaries()
    run = RunFolder(f"bench-{os.getpid()}")
    server = PostgresServer.create(run.path, "server", **DEFAULTS)
    try:
        yield server.url()
    finally:
        server.end()
        run.leave()
