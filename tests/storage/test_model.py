"""Memory and SQLite answer alike, whatever is asked of them, and as a plain model says."""

from hypothesis import settings

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.ports.storage import Storage
from tests.storage.machine import StorageMachine


class SqliteMachine(StorageMachine):
    """Compares SQLite with memory."""

    def make_other(self) -> Storage:
        return SqliteStorage(self.directory / "log.db", clock=self.clock)


TestSqlite = SqliteMachine.TestCase
TestSqlite.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
