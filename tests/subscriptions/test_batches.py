"""Batches: events that upcasters made of one stored event are never parted."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headwater.ports.leases import Checkpoint
from headwater.ports.log import StoredEvent
from headwater.subscriptions.subscription import Arrival, Batch, Worked

BEFORE, SCANNED_TO = Checkpoint(0), Checkpoint(1000)

parts = st.lists(st.integers(1, 3), min_size=1, max_size=8)
"""How many events were made of each stored one."""


def batch(counts: list[int]) -> Batch:
    arrivals: list[Arrival] = []
    preceding: StoredEvent | None = None
    for position, count in enumerate(counts, 1):
        stored = StoredEvent(
            position, "s-1", position, bytes([position]) * 16, "t.x", 1, "{}", 0, 0
        )
        for _ in range(count):
            arrivals.append(Arrival(stored, None))
            arrivals[-1].preceding = preceding
        preceding = stored
    return Batch("s", 0, arrivals, before=BEFORE, scanned_to=SCANNED_TO)


@given(parts)
def test_groups_are_the_stored_events(counts: list[int]) -> None:
    groups = list(batch(counts).groups())

    assert [len(group) for group in groups] == counts
    assert all(len({arrival.stored.position for arrival in group}) == 1 for group in groups)


@given(parts)
def test_single_batches_are_one_stored_event_each_and_follow_on_one_another(
    counts: list[int],
) -> None:
    singles = list(batch(counts).singly())

    assert [len(single.arrivals) for single in singles] == counts
    assert all(single.single for single in singles)
    ends = [single.advance(Worked(len(single.arrivals))).checkpoints[0] for single in singles]
    assert ends[0].expected == BEFORE.position
    assert all(one.to == following.expected for one, following in pairwise(ends))
    assert ends[-1].to == SCANNED_TO.position


@given(parts, st.data())
def test_a_failure_leaves_the_checkpoint_before_its_stored_event(
    counts: list[int], data: st.DataObject
) -> None:
    whole = batch(counts)
    failed = data.draw(st.integers(0, len(whole.arrivals) - 1))

    reached = whole.reached(Worked(failed, ValueError("no")))

    assert reached.position == whole.arrivals[failed].stored.position - 1
