"""Asks the same of the memory storage, of another one and of a plain model."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import microseconds_since_epoch
from headwater.errors import ConfigurationError
from headwater.ports.changes import Changes, Committed
from headwater.ports.log import LogFilter
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.testing.conformance import UnsteadyClock
from headwater.testing.conformance.builders import commit_all, whole_log
from headwater.testing.conformance.outcomes import Outcome, outcome_of
from tests.storage.log_model import LogModel, facts_of, told
from tests.storage.plans import KEYS, SPECS, STREAMS, Plan, plans

T = TypeVar("T")
OF_THE_LOG = {
    *("IdempotencyConflictError", "StreamClosedError", "ConcurrencyError", "TagConditionError"),
}
BEFORE_THE_LOG = {
    *("DeadlineExceededError", "ReceiptExistsError", "LeaseLostError", "CheckpointConflictError"),
}


class WritingMachine(RuleBasedStateMachine):
    """Writes the same into both storages and compares what they answer with each other.

    A subclass says what the other one is.
    """

    takes_time_from_clock = True
    """Whether the other storage's time is that of `clock`, and not that of a server."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="headwater-model-"))
        self.clock = UnsteadyClock()
        self.memory = MemoryStorage(self.clock)
        self.other = self.make_other()
        self.storages: Sequence[Storage] = (self.memory, self.other)
        self.model = LogModel()
        self.rows: dict[str, str] = {}
        self.spec: CollectionSpec = SPECS[0]
        self.committed: list[Plan] = []
        self.open_both()

    def make_other(self) -> Storage:
        """Return a fresh storage; it may keep files in `directory`."""
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what came of *work*, done in the machine's event loop."""
        return self.runner.run(work)

    def both(self, memory: Coroutine[Any, Any, T], other: Coroutine[Any, Any, T]) -> T:
        """Return what both storages answered, having asserted that it was the same."""
        answers = self.run(memory), self.run(other)
        assert answers[0] == answers[1]
        return answers[0]

    def open_both(self) -> None:
        """Open both storages, prepared."""
        for storage in self.storages:
            self.run(storage.open())
            self.run(storage.prepare_collections([self.spec]))
            self.run(storage.open_subscription("totals", partitions=2, start_after=0))

    def teardown(self) -> None:
        """Close both storages, and forget them."""
        for storage in self.storages:
            self.run(storage.close())
        self.runner.close()
        shutil.rmtree(self.directory)

    def now(self) -> int:
        """Return the storages' time."""
        return microseconds_since_epoch(self.clock.now())

    # ------------------------------------------------------------------------------ writing

    def commit(self, batch: Sequence[Plan]) -> None:
        """Commit all of a batch at once, on both, and tell the model."""
        answers: list[list[Outcome]] = []
        for storage in self.storages:
            stored = self.run(storage.get_rows(self.spec.name, KEYS))
            versions = {key: row.version for key, row in stored.items()}
            many = [plan.for_versions(versions, self.spec) for plan in batch]
            answers.append([outcome_of(one) for one in self.run(commit_all(storage, many))])
        assert answers[0] == answers[1]
        for plan, answer in zip(batch, answers[0], strict=True):
            self.compare_with_model(plan.for_versions({}, self.spec), answer)
            if isinstance(answer, Committed):
                self.committed.append(plan)

    def compare_with_model(self, changes: Changes, answer: Outcome) -> None:
        """Assert that the log's part of a commit went as the model says."""
        verdict = self.model.judge(changes, now=self.now())
        if isinstance(answer, Committed):
            assert verdict.refusal is None
            assert answer == verdict.committed
            self.model.facts, self.model.states = verdict.facts, verdict.states
            for row in changes.rows:
                self.rows.pop(row.key, None)
                if row.data is not None:
                    self.rows[row.key] = row.data
            return
        name, values = answer
        if name in OF_THE_LOG and values.get("what") != "Message":
            assert verdict.refusal == name
        elif name not in BEFORE_THE_LOG | {"IdempotencyConflictError"}:
            assert verdict.refusal is None

    @rule(plan=plans)
    def commit_one(self, plan: Plan) -> None:
        self.commit([plan])

    @rule(batch=st.lists(plans, min_size=2, max_size=6))
    def commit_several_at_once(self, batch: list[Plan]) -> None:
        self.commit(batch)

    @rule(data=st.data(), times=st.integers(1, 3))
    def commit_again(self, data: st.DataObject, times: int) -> None:
        if self.committed:
            self.commit([data.draw(st.sampled_from(self.committed))] * times)

    @rule(data=st.data(), stream_id=st.sampled_from(STREAMS))
    def append_again_in_other_pieces(self, data: st.DataObject, stream_id: str) -> None:
        stream = [fact for fact in self.model.facts if fact.stream_id == stream_id]
        start = data.draw(st.integers(0, len(stream)))
        end = data.draw(st.integers(start, len(stream)))
        events = tuple(fact.event for fact in stream[start:end])
        for append in data.draw(plans).changes.appends[:1]:
            again = type(append)(stream_id, append.expected, events)
            self.commit([Plan(Changes(appends=(again,)))])

    @rule(plan=plans, microseconds=st.integers(-1, 1))
    def commit_near_its_deadline(self, plan: Plan, microseconds: int) -> None:
        if not self.takes_time_from_clock:
            return
        deadline = self.now() + microseconds
        changes = Changes(appends=plan.changes.appends, deadline=deadline)
        self.commit([Plan(changes, plan.rows, plan.guards)])

    # ------------------------------------------------------------------ time, and the storage

    @rule(seconds=st.integers(-90, 90))
    def move_the_clock(self, seconds: int) -> None:
        if seconds < 0 and self.takes_time_from_clock:
            self.clock.fall_back(-seconds)
        else:
            self.clock.advance(timedelta(seconds=abs(seconds)))

    @rule()
    def close_and_open(self) -> None:
        for storage in self.storages:
            self.run(storage.close())
        self.open_both()

    @rule(name=st.sampled_from(["totals", "other"]), partitions=st.integers(1, 3))
    def open_subscription(self, name: str, partitions: int) -> None:
        memory, sqlite = (
            list(
                self.run(
                    storage.open_subscription(name, partitions=partitions, start_after=partitions)
                )
            )
            for storage in self.storages
        )
        assert memory == sqlite

    @rule(spec=st.sampled_from(SPECS))
    def prepare_other_indexes(self, spec: CollectionSpec) -> None:
        prepared: list[bool] = []
        # A unique field that is not named any more may stay unique; one named as not unique is not.
        named = {field.name for field in spec.indexed}
        dropped = [field for field in self.spec.indexed if field.name not in named]
        plain = [replace(field, unique=False) for field in dropped]
        first = replace(spec, indexed=(*spec.indexed, *plain))
        for storage in self.storages:
            try:
                self.run(storage.prepare_collections([first]))
                self.run(storage.prepare_collections([spec]))
            except ConfigurationError:
                prepared.append(False)
            else:
                prepared.append(True)
        assert prepared in ([True, True], [False, False])
        if all(prepared):
            self.spec = spec

    @invariant()
    def both_hold_what_the_model_holds(self) -> None:
        everything = LogFilter(internal=True, archived=True)
        memory, sqlite = (self.run(whole_log(each, everything)) for each in self.storages)
        # The clock moves between steps only, but a storage may remember the time of a commit
        # without events; what is promised is that it never falls.
        assert [replace(e, recorded_at=0) for e in memory] == [
            replace(e, recorded_at=0) for e in sqlite
        ]
        for events in (memory, sqlite):
            assert facts_of(events) == told(self.model.there())
            times = [event.recorded_at for event in events]
            assert times == sorted(times)
        for storage in self.storages:
            rows = self.run(storage.get_rows(self.spec.name, KEYS))
            assert {key: row.data for key, row in rows.items()} == self.rows
