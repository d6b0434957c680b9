"""The PostgreSQL storage behind PgBouncer in transaction mode: what depends on a session."""

import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.ports.storage import Storage
from headwater.testing.conformance.leases.tokens import TokensConformance
from headwater.testing.conformance.leases.workers import WorkersConformance
from headwater.testing.conformance.log.cursors import CursorsConformance
from headwater.testing.conformance.log.news import NewsConformance
from headwater.testing.conformance.rows.unique import UniqueConformance
from tests.servers.pgbouncer import PgBouncer


class _ThroughPgBouncer:
    takes_time_from_clock = False

    @pytest.fixture
    def settings(self, pgbouncer: PgBouncer, postgres_schema: str) -> PostgresSettings:
        settings = PostgresSettings.from_url(pgbouncer.url())
        return replace(
            settings,
            schema=postgres_schema,
            auto_migrate=True,
            pooled_by_pgbouncer=True,
            wake_ups="poll",
        )


class TestListeningBeside(_ThroughPgBouncer, NewsConformance):
    """Statements go through the pooler; notifications come straight from the server."""

    @pytest.fixture
    def new_storage(self, settings: PostgresSettings, postgres_url: str) -> Storage:
        return PostgresStorage(replace(settings, wake_ups="listen", listen_url=postgres_url))


class TestPolling(_ThroughPgBouncer, NewsConformance, CursorsConformance, UniqueConformance):
    """Everything goes through the pooler."""

    @pytest.fixture
    def new_storage(self, settings: PostgresSettings) -> Storage:
        return PostgresStorage(settings)


class TestLeasing(_ThroughPgBouncer, WorkersConformance, TokensConformance):
    """Leases and the commits under them go through the pooler."""

    @pytest.fixture
    def new_storage(self, settings: PostgresSettings) -> Storage:
        return PostgresStorage(settings)
