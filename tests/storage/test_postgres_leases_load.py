"""Four processes share partitions and are frozen past their leases; `tests.soak` does so longer."""

from headwater.adapters.storage.postgres import PostgresSettings
from tests.soak.postgres_leases import share


async def test_processes_that_race_for_leases_move_each_partition_under_one_token_at_a_time(
    postgres_database: str,
) -> None:
    url = f"{postgres_database}?sslmode=disable"

    outcome = await share(PostgresSettings.from_url(url), url, moves=200, freezes=3, seed=3)

    assert (outcome.faults, outcome.deadlocks) == ([], 0)
    assert outcome.moves >= 200
    assert outcome.frozen
    assert outcome.changed
