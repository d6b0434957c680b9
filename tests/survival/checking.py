"""The checker: what a storage and the world outside hold, against what was appended."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from headwater.ports.rows import RowQuery
from headwater.ports.storage import Storage
from tests.survival.counting import CHARGED_EVERY, POSTED, POSTED_EVERY, linked

FAULTS_MAX: Final = 20
PAGE_EVENTS: Final = 5000


class RowFound(msgspec.Struct, frozen=True):
    """A row of `Tally` or `Total`."""

    account: str
    moves: int
    chain: int


class Found(msgspec.Struct, frozen=True):
    """What is there: the numbers of each stream's events in their order, the rows by account,
    and of the world outside, by account and number, the idempotency keys of the calls and how
    often something was posted that must not be posted twice."""

    moved: Mapping[str, list[int]]
    noted: Mapping[str, list[int]]
    charged: Mapping[str, list[int]]
    tallies: Mapping[str, RowFound]
    totals: Mapping[str, RowFound]
    outside: Mapping[tuple[str, int], Counter[str]]
    posted: Mapping[tuple[str, int], int]


async def look(storage: Storage, outside: Path) -> Found:
    """Return what *storage* holds at one moment, and the file *outside*."""
    while True:
        numbers, head = await _numbers(storage)
        tallies = await rows_in(storage, "survival_tally")
        totals = await rows_in(storage, "survival_total")
        # Whoever was killed may have left a commit under way, and each appends something.
        if await storage.head() == head:
            break
    return Found(
        numbers["survival.moved"],
        numbers["survival.noted"],
        numbers["survival.charged"],
        tallies,
        totals,
        *_calls(outside),
    )


async def _numbers(storage: Storage) -> tuple[Mapping[str, Mapping[str, list[int]]], int]:
    """Return the numbers in each account's events by type and account, and the end of the log."""
    numbers: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    after, head = 0, 1
    while after < head:
        page = await storage.read_log(after=after, limit=PAGE_EVENTS)
        for event in page.events:
            account = event.stream_id.partition("-")[2]
            numbers[event.type][account].append(msgspec.json.decode(event.data)["number"])
        after, head = page.scanned_to, page.head
    return numbers, after


async def rows_in(storage: Storage, collection: str) -> dict[str, RowFound]:
    """Return the rows of *collection* by account; none if no worker has ever prepared it."""
    prepared = [spec for spec in await storage.collections() if spec.name == collection]
    if not prepared:
        return {}
    await storage.prepare_collections(prepared)  # another process did; this one does not know it
    rows = await storage.find_rows(collection, RowQuery(limit=10_000))
    decoded = (msgspec.json.decode(row.data, type=RowFound) for row in rows)
    return {row.account: row for row in decoded}


def faults_in(
    found: Found, *, appended: Mapping[str, int], complete: bool, posts_once: bool
) -> list[str]:
    """Return what is wrong: lost, doubled, out of order; nothing is missing yet if not *complete*.

    *appended* is how many moves of each account were appended. *posts_once*: no worker stood still
    while it posted, which nobody can undo.
    """
    faults: list[str] = []
    for account, count in appended.items():
        numbers = list(range(1, count + 1))
        if found.moved.get(account, []) != numbers:
            faults.append(f"{account}: the log itself has {found.moved.get(account)}")
        for what, rows in (("the subscriber", found.tallies), ("the projection", found.totals)):
            faults += _row_faults(account, what, rows.get(account), numbers, complete=complete)
        handled = _moves(found.tallies.get(account))
        faults += _same(f"{account}: notes", found.noted.get(account, []), numbers[:handled])
        faults += _charge_faults(account, found, count, handled, complete=complete)
        faults += _call_faults(account, found, handled)
        faults += _post_faults(account, found, handled, posts_once=posts_once)
    keys = Counter(key for calls in found.outside.values() for key in calls)
    faults += [f"idempotency key {key} of {n} events" for key, n in keys.items() if n > 1]
    strangers = {*found.tallies, *found.totals, *found.noted, *found.charged} - appended.keys()
    faults += [f"{account} was never appended" for account in sorted(strangers)]
    return faults[:FAULTS_MAX]


def _row_faults(
    account: str, what: str, row: RowFound | None, numbers: list[int], *, complete: bool
) -> list[str]:
    moves, chain = _moves(row), row.chain if row is not None else 0
    expected = 0
    for number in numbers[:moves]:
        expected = linked(expected, number)
    if moves > len(numbers):
        return [f"{account}: {what} counted {moves} of {len(numbers)}: doubled"]
    if chain != expected:
        return [f"{account}: {what} counted {moves}, not in order or not each once"]
    if complete and moves < len(numbers):
        return [f"{account}: {what} counted {moves} of {len(numbers)}: lost"]
    return []


def _charge_faults(
    account: str, found: Found, count: int, handled: int, *, complete: bool
) -> list[str]:
    charges = found.charged.get(account, [])
    due = list(range(CHARGED_EVERY, count + 1, CHARGED_EVERY))
    # Their commits come first: the batch that brought the last ones may not be done yet.
    if len(charges) < (len(due) if complete else handled // CHARGED_EVERY):
        return [f"{account}: {len(charges)} charges after {handled} moves: lost"]
    if len(charges) > len(due):
        return [f"{account}: {len(charges)} charges of {len(due)}: doubled"]
    return _same(f"{account}: charges", charges, due[: len(charges)])


def _call_faults(account: str, found: Found, handled: int) -> list[str]:
    faults: list[str] = []
    for number in range(1, handled + 1):
        keys = found.outside.get((account, number), Counter[str]())
        if len(keys) != 1:
            faults.append(f"{account}: move {number} was called outside with {len(keys)} keys")
    return faults


def _post_faults(account: str, found: Found, handled: int, *, posts_once: bool) -> list[str]:
    faults: list[str] = []
    for number in range(POSTED_EVERY, handled + 1, POSTED_EVERY):
        times = found.posted.get((account, number), 0)
        if times == 0 or (posts_once and times > 1):
            faults.append(f"{account}: move {number} was posted {times} times")
    return faults


def _same(what: str, numbers: list[int], expected: list[int]) -> list[str]:
    return [] if numbers == expected else [f"{what} are {numbers}, not {expected}"]


def _moves(row: RowFound | None) -> int:
    return row.moves if row is not None else 0


def _calls(outside: Path) -> tuple[dict[tuple[str, int], Counter[str]], Counter[tuple[str, int]]]:
    calls: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    posted = Counter[tuple[str, int]]()
    text: Any = outside.read_text() if outside.exists() else ""
    for line in text.splitlines():
        account, number, key = line.split()
        if key == POSTED:
            posted[account, int(number)] += 1
        else:
            calls[account, int(number)][key] += 1
    return calls, posted
