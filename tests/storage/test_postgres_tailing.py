"""Four processes write to a log and a fifth follows it; `tests.soak` does so for longer."""

from headwater.adapters.storage.postgres import PostgresSettings
from tests.soak.postgres_tailing import tail


def test_whoever_follows_a_log_that_four_processes_write_to_misses_nothing(
    postgres_url: str, postgres_schema: str
) -> None:
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}"
    settings = PostgresSettings.from_url(url)

    outcome = tail(settings, url, events=1_500, seed=3)

    assert outcome.events == 1_500
    assert (outcome.missed, outcome.positions_wrong, outcome.versions_wrong) == (0, 0, 0)
    assert outcome.same_ids
