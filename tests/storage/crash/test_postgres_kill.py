"""A process that is killed in the middle of commits to PostgreSQL loses none that returned."""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

import psycopg

from tests.storage.crash.processes import Acknowledged, acknowledged, begin, output, process

ROUNDS = 4
WRITERS = 12


def check_schema(url: str, schema: str, acks: Sequence[Acknowledged]) -> dict[int, object]:
    """Check that all of *acks* are there, whole, each place once; return the ids by position."""
    with psycopg.connect(url) as connection:

        def fetch(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql.format(s=schema).encode()).fetchall()

        # Whoever was killed may have left a commit under way: it is done now, or never.
        fetch("SELECT pg_advisory_xact_lock(1212438354, '{s}'::regnamespace::oid::integer)")
        events = fetch(
            "SELECT position, stream_id, version, id, data FROM {s}.events ORDER BY position"
        )
        rows = dict(fetch("SELECT key, data FROM {s}.rows_progress"))
        tags = fetch("SELECT position FROM {s}.event_tags")

    assert [position for position, *_ in events] == list(range(1, len(events) + 1))
    assert len(tags) == len(events)
    places = {(stream_id, version): position for position, stream_id, version, _, _ in events}
    for stream_id, counted in Counter(stream_id for _, stream_id, *_ in events).items():
        assert {version for stream, version in places if stream == stream_id} == set(
            range(1, counted + 1)
        )
        assert rows[stream_id] == {"version": counted}
    commits = Counter((data["commit"], data["of"]) for *_, data in events)
    assert all(count == size for (_, size), count in commits.items())
    for ack in acks:
        assert places[ack.stream_id, ack.version] == ack.position
    return {position: id_ for position, _, _, id_, _ in events}


def test_every_commit_that_returned_is_there_whole_after_kills(
    postgres_url: str, postgres_schema: str
) -> None:
    url = f"{postgres_url}?sslmode=disable&auto_migrate=true&schema={postgres_schema}"
    chance = random.Random(5)
    acks: list[Acknowledged] = []
    ids: dict[int, object] = {}

    for number in range(ROUNDS):
        with (
            process("writing.py", url, "a", number, WRITERS, 100_000) as killed,
            process("writing.py", url, "b", number, WRITERS, 20) as kept,
        ):
            begin(killed)
            begin(kept)
            lines = list(islice(output(killed), chance.randint(1, 200)))
            killed.kill()
            lines += [*output(killed).readlines(), *output(kept).readlines()]
            assert kept.wait() == 0
        acks += acknowledged(lines)
        found = check_schema(postgres_url, postgres_schema, acks)

        assert found.items() >= ids.items()
        ids = found

    assert len(acks) > ROUNDS * 20 * WRITERS
