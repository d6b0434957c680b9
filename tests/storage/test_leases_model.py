"""Whatever workers, time and operators do, one token at most moves a checkpoint."""

from hypothesis import settings

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.ports.storage import Storage
from tests.storage.leases_machine import LeasesMachine


class MemoryMachine(LeasesMachine):
    """Compares memory with the model."""

    def make_storage(self) -> Storage:
        return MemoryStorage(self.clock)


class SqliteMachine(LeasesMachine):
    """Compares SQLite with the model."""

    def make_storage(self) -> Storage:
        return SqliteStorage(self.directory / "log.db", clock=self.clock)


TestMemory = MemoryMachine.TestCase
TestMemory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSqlite = SqliteMachine.TestCase
TestSqlite.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
