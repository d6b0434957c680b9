"""PostgreSQL deals partitions as a plain model says, by a time that the test sets."""

from typing import Final
from uuid import uuid4

import psycopg
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.postgres.schema import upgrade
from headwater.ports.storage import Storage
from tests.storage.leases_machine import LeasesMachine

NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def test_postgres_deals_leases_as_the_model_says(postgres_url: str) -> None:
    server = PostgresSettings.from_url(f"{postgres_url}?sslmode=disable&moves_outbox=false")

    class PostgresMachine(LeasesMachine):
        """Compares PostgreSQL with the model."""

        def make_storage(self) -> Storage:
            mine = replace(server, schema=f"t_{uuid4().hex[:16]}")
            self.run(upgrade(mine))
            self.sql = psycopg.connect(postgres_url, autocommit=True)
            self.schema = mine.schema
            self.execute("CREATE TABLE {schema}.now AS SELECT 0::bigint AS at")
            found = self.execute(
                "SELECT pg_get_functiondef('{schema}.lease_partitions_v1'::regproc)"
            )
            assert NOW in str(found)
            self.execute(str(found).replace(NOW, "(SELECT at FROM {schema}.now)"))
            return PostgresStorage(mine)

        def execute(self, sql: str) -> object:
            cursor = self.sql.execute(sql.replace("{schema}", self.schema).encode())
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]

        def now(self) -> int:
            now = super().now()
            self.execute(f"UPDATE {{schema}}.now SET at = {now}")
            return now

        def teardown(self) -> None:
            super().teardown()
            self.sql.close()

    run_state_machine_as_test(
        PostgresMachine, settings=settings(max_examples=6, stateful_step_count=30, deadline=None)
    )
