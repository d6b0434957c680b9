"""``outbox status``, ``list`` and ``redrive``."""

import asyncio

import asyncpg
import pytest

from headwater.adapters.storage.postgres import PostgresSettings, schema
from tests.cli.conftest import Shop
from tests.storage.conftest import postgres, postgres_run_folder, postgres_schema, postgres_url

__all__ = ["postgres", "postgres_run_folder", "postgres_schema", "postgres_url"]

STAGE = (
    "INSERT INTO {}.outbox (stream_id, id, type, schema_version, data, occurred_at) "
    "VALUES ($1, gen_random_uuid(), 'guests.invited', 1, '{{}}', 0)"
)


@pytest.fixture
def url(postgres_url: str, postgres_schema: str) -> str:
    """A storage that moves nothing, with two rejected rows and one that waits."""
    url = f"{postgres_url}?schema={postgres_schema}&sslmode=disable"

    async def prepare() -> None:
        await schema.upgrade(PostgresSettings.from_url(url))
        connection = await asyncpg.connect(postgres_url)
        for stream_id in ("guest\x07", "guest\x08", "guest-1"):
            await connection.execute(STAGE.format(postgres_schema), stream_id)
            if stream_id != "guest-1":
                await connection.execute(
                    f"SELECT {postgres_schema}.move_outbox_v1(10, 100000, 100000, 1000)"
                )
        await connection.close()

    asyncio.run(prepare())
    return f"{url}&moves_outbox=false"


def test_rejected_events_are_listed_and_staged_again(shop: Shop, url: str) -> None:
    status = shop.run("--json", "outbox", "status", url)
    listed = shop.run("--json", "outbox", "list", url)
    first = shop.run("--json", "outbox", "redrive", str(listed.rows[0]["seq"]), "-s", url, "--yes")
    rest = shop.run("--json", "outbox", "redrive", "--all", "-s", url, "--yes")
    after = shop.run("--json", "outbox", "status", url)

    assert (status.code, status.object["waiting"], status.object["rejected"]) == (1, 1, 2)
    assert listed.code == 1
    assert [row["stream"] for row in listed.rows] == ["guest\x07", "guest\x08"]
    assert "control characters" in listed.rows[0]["reason"]
    assert (first.code, first.object, rest.object) == (0, {"redriven": 1}, {"redriven": 1})
    assert (after.code, after.object["waiting"], after.object["rejected"]) == (0, 3, 0)


def test_nothing_is_staged_again_unasked_or_unnamed(shop: Shop, url: str) -> None:
    assert shop.run("outbox", "redrive", "--all", "-s", url).code == 3
    assert shop.run("outbox", "redrive", "-s", url).code == 2
    assert shop.run("outbox", "redrive", "999999", "-s", url, "--yes").code == 1
    assert shop.run("outbox", "list", url, "--after", "999999").code == 0


def test_a_file_has_no_outbox(shop: Shop) -> None:
    ran = shop.run("outbox", "status", "sqlite:///log.db")

    assert ran.code == 2
    assert "has an outbox" in ran.err
