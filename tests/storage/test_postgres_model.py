"""Memory and PostgreSQL answer alike, whatever is asked of them, and as a plain model says."""

from uuid import uuid4

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.ports.storage import Storage
from tests.storage.machine import StorageMachine


def test_postgres_answers_as_memory_does(postgres_url: str) -> None:
    server = PostgresSettings.from_url(f"{postgres_url}?sslmode=disable&auto_migrate=true")

    class PostgresMachine(StorageMachine):
        """Compares PostgreSQL with memory."""

        takes_time_from_clock = False

        def make_other(self) -> Storage:
            schema = f"t_{uuid4().hex[:16]}"
            return PostgresStorage(replace(server, schema=schema), clock=self.clock)

    run_state_machine_as_test(
        PostgresMachine, settings=settings(max_examples=10, stateful_step_count=25, deadline=None)
    )
