"""Reads the same from both storages, and knows from the model what must come."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from headwater.errors import LogRewoundError
from headwater.ports.leases import Checkpoint
from headwater.ports.log import LogFilter
from headwater.testing.conformance.suite import FAR_FUTURE_US
from tests.storage.log_model import facts_of, told
from tests.storage.machine_writing import WritingMachine
from tests.storage.plans import STREAMS, filters, ids, queries


class StorageMachine(WritingMachine):
    """Asks the same of both storages: commits, reads, and what operators do."""

    # ------------------------------------------------------------------------------ reading

    @rule(after=st.integers(0, 30), where=filters, limit=st.integers(1, 10))
    def read_log(self, after: int, where: LogFilter, limit: int) -> None:
        for storage in self.storages:
            page = self.run(storage.read_log(after=after, where=where, limit=limit))

            matching = self.model.matching(after, where)
            assert facts_of(page.events) == told(matching[:limit])
            assert page.head == len(self.model.facts)
            assert after <= page.scanned_to <= max(after, page.head)
            assert page.event_id == self.model.id_at(page.scanned_to)
            passed = [fact for fact in matching if fact.position <= page.scanned_to]
            assert len(passed) == len(page.events)

    @rule(after=st.integers(0, 30), after_id=ids(80), right=st.booleans(), where=filters)
    def read_log_on(self, after: int, after_id: bytes, where: LogFilter, *, right: bool) -> None:
        there = self.model.id_at(after)
        after_id = there or after_id if right else after_id
        rewound = after > len(self.model.facts) or there not in (None, after_id)
        for storage in self.storages:
            reading = storage.read_log(after=after, after_id=after_id, where=where)
            if rewound:
                with pytest.raises(LogRewoundError):
                    self.run(reading)
            else:
                assert self.run(reading) == self.run(storage.read_log(after=after, where=where))

    @rule(
        category=st.sampled_from([None, None, "a", "b", "$t", "nothing"]),
        after=st.sampled_from(["", "$", "a-1", "a-2x", "b"]),
        internal=st.booleans(),
        limit=st.integers(1, 4),
    )
    def read_streams(self, category: str | None, after: str, limit: int, *, internal: bool) -> None:
        expected = [
            info
            for info in self.model.streams()
            if info.stream_id > after
            and (internal or not info.stream_id.startswith("$"))
            and category in (None, info.stream_id.split("-")[0])
        ]
        for storage in self.storages:
            found = self.run(
                storage.read_streams(category=category, after=after, internal=internal, limit=limit)
            )
            assert list(found) == expected[:limit]

    @rule(stream_id=st.sampled_from([*STREAMS, "a", "nothing"]))
    def look_at_a_stream(self, stream_id: str) -> None:
        for storage in self.storages:
            assert self.run(storage.stream_info(stream_id)) == self.model.info(stream_id)

    @rule(
        stream_id=st.sampled_from([*STREAMS, "a", "nothing"]),
        from_version=st.one_of(st.none(), st.integers(-1, 9)),
        backwards=st.booleans(),
        limit=st.integers(1, 5),
    )
    def read_stream(
        self, stream_id: str, from_version: int | None, *, backwards: bool, limit: int
    ) -> None:
        for storage in self.storages:
            events = self.run(
                storage.read_stream(
                    stream_id, from_version=from_version, backwards=backwards, limit=limit
                )
            )
            facts = self.model.stream(stream_id, from_version, backwards=backwards, limit=limit)
            assert facts_of(events) == told(facts)

    @rule(data=st.data())
    def find_rows(self, data: st.DataObject) -> None:
        query, name = data.draw(queries(self.spec)), self.spec.name
        memory, sqlite = (self.run(each.find_rows(name, query)) for each in self.storages)

        assert [(row.key, row.data) for row in memory] == [(row.key, row.data) for row in sqlite]
        self.both(
            self.memory.count_rows(name, query.conditions),
            self.other.count_rows(name, query.conditions),
        )

    @rule(consumer=st.sampled_from(["orders", "mail"]), message_id=ids(12))
    def look_at_a_receipt(self, consumer: str, message_id: bytes) -> None:
        self.both(
            self.memory.receipt(consumer, message_id), self.other.receipt(consumer, message_id)
        )

    # ----------------------------------------------------------------------- administration

    @rule(seconds=st.integers(-60, 60), limit=st.integers(1, 5))
    def prune(self, seconds: int, limit: int) -> None:
        before = self.now() + seconds * 1_000_000
        if not self.takes_time_from_clock:
            before, limit = FAR_FUTURE_US, 10_000
        pruned = self.both(
            self.memory.prune(before=before, limit=limit),
            self.other.prune(before=before, limit=limit),
        )
        assert pruned.erased_ids == self.model.prune(before=before, limit=limit)

    @rule(after=st.integers(0, 30), remove=st.integers(0, 5))
    def remove_receipts(self, after: int, remove: int) -> None:
        count = self.both(
            self.memory.count_receipts(after=after), self.other.count_receipts(after=after)
        )
        if not remove:
            removed = self.both(
                self.memory.remove_receipts(after=after), self.other.remove_receipts(after=after)
            )
            assert removed == count

    @rule(to=st.builds(Checkpoint, st.integers(0, 1), st.one_of(st.none(), ids(3))))
    def reset_subscription(self, to: Checkpoint) -> None:
        for storage in self.storages:
            self.run(storage.reset_subscription("totals", to=to))
        self.both(self.memory.subscriptions(), self.other.subscriptions())

    @rule()
    def rebuild_the_collection(self) -> None:
        cleared = self.both(
            *(
                storage.reset_subscription("totals", to=Checkpoint(0), clear=(self.spec.name,))
                for storage in (self.memory, self.other)
            )
        )
        assert cleared == len(self.rows)
        self.rows.clear()
        self.both(self.memory.collections(), self.other.collections())
