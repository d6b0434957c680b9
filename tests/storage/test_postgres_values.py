"""Values on PostgreSQL that are none, or lie beyond what the server can hold."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.postgres.failures import is_lost
from headwater.errors import ConcurrencyError
from headwater.ports.changes import Changes, CheckpointMove, Committed, NewReceipt
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import appending, commit_all, new_event


@pytest.fixture
async def storage(postgres_url: str, postgres_schema: str) -> AsyncIterator[PostgresStorage]:
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}"
    settings = replace(PostgresSettings.from_url(url), auto_migrate=True, moves_outbox=False)
    storage = PostgresStorage(settings)
    await storage.open()
    yield storage
    await storage.close()


def event(number: int = 0) -> Changes:
    return appending(f"order-{number}", new_event())


@pytest.mark.parametrize(
    "changes",
    [
        appending("order-1", new_event(id=b"short")),
        appending("order-1", replace(new_event(), causation_id=b"short")),
        Changes(receipts=(NewReceipt("orders", b"short", b"d", "null"),)),
        Changes(checkpoints=(CheckpointMove("totals", 0, 0, 1, b"short"),)),
    ],
)
async def test_an_id_that_is_none_is_refused_before_anything_is_sent(
    storage: PostgresStorage, changes: Changes
) -> None:
    results = await commit_all(storage, [event(), changes, event(1)])

    assert [type(one) for one in results] == [Committed, ValueError, Committed]


@pytest.mark.parametrize(("severity", "lost"), [("ERROR", False), ("FATAL", True)])
def test_a_server_that_cannot_read_a_message_is_lost_only_if_it_ends_the_connection(
    severity: str, *, lost: bool
) -> None:
    error = asyncpg.ProtocolViolationError("insufficient data left in message")
    error.severity = severity

    assert is_lost(error) is lost


@pytest.mark.parametrize("version", [2**31, 2**63, 10**30])
async def test_no_stream_is_at_a_version_beyond_all_bounds(
    storage: PostgresStorage, version: int
) -> None:
    changes = appending("order-1", new_event(), expected=ExpectedVersion.exactly(version))

    with pytest.raises(ConcurrencyError) as refusal:
        await storage.commit(changes)

    assert refusal.value.expected == ExpectedVersion.exactly(version)


@pytest.mark.parametrize("place", [2**62, 2**63 - 1, 10**30])
async def test_nothing_is_read_beyond_all_bounds(storage: PostgresStorage, place: int) -> None:
    await storage.commit(event())

    page = await storage.read_log(after=place)

    assert (page.events, page.scanned_to, page.head) == ((), place, 1)
    assert await storage.read_stream("order-0", from_version=place) == ()
    assert len(await storage.read_stream("order-0", from_version=place, backwards=True)) == 1
    assert list(await storage.read_payloads("order-0", from_version=place)) == []
