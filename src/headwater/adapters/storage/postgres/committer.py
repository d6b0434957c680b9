"""Commits groups: as few calls as can be, and one by one what does not go together."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

import asyncpg
import msgspec

from headwater.adapters.storage.postgres.arrays import (
    AppendArrays,
    batch_arrays,
    one_event,
    results,
)
from headwater.adapters.storage.postgres.collection import Collection
from headwater.adapters.storage.postgres.each import member_text, shared_arguments
from headwater.adapters.storage.postgres.failures import (
    is_contended,
    is_for_all,
    is_missing,
    translated,
)
from headwater.adapters.storage.postgres.limits import (
    EACH_COMMITS_MIN,
    LOCK_MS_MIN,
    LOCK_WAITS_MAX,
    LOG_LOCK_MS_MIN,
    TRIES_MAX,
)
from headwater.adapters.storage.postgres.plan import Part, Way, parts_of
from headwater.adapters.storage.postgres.refusals import Answer, Outcome, outcome_of
from headwater.adapters.storage.postgres.row_statements import RowStatements
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.adapters.storage.postgres.writing import WritingConnection
from headwater.errors import OutcomeUnknownError, StorageError, StorageUnavailableError
from headwater.ports.changes import Changes


class _Together(msgspec.Struct):
    before: list[int] | None
    head: int | None = None
    failed: int | None = None


class _Each(msgspec.Struct):
    results: list[Answer]
    head: int | None = None


_together: Final = msgspec.json.Decoder(_Together)
_each: Final = msgspec.json.Decoder(_Each)


class Committer:
    """Decides groups of commits, in order, on the connection that writes."""

    def __init__(
        self,
        settings: PostgresSettings,
        connection: WritingConnection,
        collections: Mapping[str, Collection],
    ) -> None:
        schema = settings.quoted_schema
        self._settings, self._connection = settings, connection
        self._collections = collections
        self._statements: dict[str, RowStatements] = {}
        self._id, self._batch = uuid4().bytes, 0
        self._lock_ms = max(1, round(settings.lock_seconds * 1000))
        self._wait_until = 0.0
        self._append_one: Final = _call(f"* FROM {schema}.append_one_v1", 14)
        self._append: Final = _call(f"* FROM {schema}.append_batch_v1", 21)
        self._commit: Final = _call(f"{schema}.commit_v1", 42)
        self._commit_each: Final = _call(f"{schema}.commit_each_v1", 10)
        self.head: int = 0
        """The newest head that a commit has told of."""

    async def commit(self, group: Sequence[Changes]) -> list[Outcome]:
        """Return what came of each member of *group*."""
        now = asyncio.get_running_loop().time()
        self._wait_until = now + LOCK_WAITS_MAX * self._settings.lock_seconds
        try:
            self._look_up(group)
            parts = parts_of(group, self._statements)
        except Exception as error:  # noqa: BLE001 - each member's outcome says what happened
            return await self._commit_others(group, error)
        return await self._commit_parts(deque(parts), len(group))

    async def _commit_others(self, group: Sequence[Changes], error: Exception) -> list[Outcome]:
        """Commit those of *group* that can be planned; with one of them *error* was raised."""
        faults = [self._fault(changes) for changes in group]
        if not any(faults):
            raise error
        others = [changes for changes, fault in zip(group, faults, strict=True) if fault is None]
        done = iter(await self.commit(others) if others else ())
        return [next(done) if fault is None else fault for fault in faults]

    def _fault(self, changes: Changes) -> Exception | None:
        try:
            self._look_up([changes])
            parts_of([changes], self._statements)
        except Exception as error:  # noqa: BLE001 - it is the member's outcome
            return self._translated(error)
        return None

    async def _commit_parts(self, parts: deque[Part], count: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        one_by_one = EACH_COMMITS_MIN
        while parts:
            part = parts.popleft()
            done = await self._part(part)
            outcomes += done
            rest = part.members[len(done) :]
            if done and isinstance(done[-1], OutcomeUnknownError | StorageUnavailableError):
                # The server is gone: those that were not sent need not wait for it once more.
                where = self._settings.where
                gone = StorageUnavailableError(
                    f"{where}: nothing was sent, because the server went away during a commit "
                    f"before it ({done[-1]})",
                    where=where,
                )
                outcomes += [self._translated(gone) for _ in range(count - len(outcomes))]
                break
            if rest:
                parts.appendleft(Part(part.way, rest[one_by_one:]))
                parts.appendleft(Part(Way.EACH, rest[:one_by_one]))
                one_by_one *= 2
                if not parts[1].members:
                    del parts[1]
        return outcomes

    def _look_up(self, group: Sequence[Changes]) -> None:
        for changes in group:
            for row in changes.rows:
                # It may have been prepared anew, with other indexed fields, since this one came.
                self._collections[row.collection].check_row(row)
            names = [guard.collection for guard in changes.guards]
            for name in (*names, *[row.collection for row in changes.rows]):
                collection, known = self._collections[name], self._statements.get(name)
                if known is None or known.collection is not collection:
                    self._statements[name] = RowStatements(collection)

    async def _part(self, part: Part) -> list[Outcome]:
        """Return what came of the first members of a part; of the others nothing is decided."""
        members = part.members
        if part.way is Way.EACH:
            return await self._one_by_one(members)
        try:
            sql, values = self._call_for(part)
            row = await self._called(sql, values)
        except Exception as error:  # noqa: BLE001 - each member's outcome says what happened
            if isinstance(error, StorageError) or is_for_all(error):
                return [self._translated(error) for _ in members]
            apart = is_contended(error) or is_missing(error)
            return await self._one_by_one(members, apart=apart)
        # Not before here, and nothing of it is caught: what was answered is not sent again.
        return [*self._told(sql, members, row)]

    def _call_for(self, part: Part) -> tuple[str, list[Any]]:
        """Return the statement that decides the members of *part* together, and its values."""
        members = part.members
        if part.way is Way.TOGETHER:
            values = batch_arrays(members, self._statements)
            return self._commit, [*self._begin(members), *values]
        if len(members) == 1 and len(members[0].appends) == 1:
            (append,) = members[0].appends
            if len(append.events) == 1 and not append.events[0].tags:
                return self._append_one, [self._wait_ms(), *one_event(append)]
        arrays = AppendArrays(members)
        values = [arrays.plain, *arrays.of_appends(), *arrays.of_events()]
        return self._append, [self._wait_ms(), *values]

    def _told(self, sql: str, members: Sequence[Changes], row: asyncpg.Record) -> Sequence[Outcome]:
        if sql is self._append_one:
            return self._results(members, row[0], [row[1]]) if row[0] is not None else ()
        if sql is self._append:
            head, before, failed = row
            return self._results(members[:failed], head, before)
        answer = _together.decode(row[0])
        return self._results(members[: answer.failed], answer.head, answer.before or ())

    async def _one_by_one(
        self, members: Sequence[Changes], *, apart: bool = False
    ) -> list[Outcome]:
        """Return what came of *members*, committed in one transaction or, *apart*, in many."""
        texts = [self._text_of(changes) for changes in members]
        able = [
            (changes, text)
            for changes, text in zip(members, texts, strict=True)
            if isinstance(text, str)
        ]
        done: Sequence[Outcome] | None = None
        if len(able) > 1 and not apart:
            try:
                answer = await self._each(able)
            except Exception as error:  # noqa: BLE001 - each member's outcome says what happened
                if isinstance(error, StorageError) or is_for_all(error):
                    done = [self._translated(error) for _ in able]
            else:
                done = self._answered(able, answer)
        if done is None:
            done = [await self._alone(changes, text) for changes, text in able]
        given = iter(done)
        return [next(given) if isinstance(text, str) else text for text in texts]

    async def _alone(self, changes: Changes, text: str) -> Outcome:
        for tries_left in reversed(range(TRIES_MAX)):
            late = asyncio.get_running_loop().time() > self._wait_until
            try:
                answer = await self._each([(changes, text)])
            except Exception as error:  # noqa: BLE001 - the outcome says what happened
                if late or not (tries_left and is_contended(error)):
                    return self._translated(error)
            else:
                return self._answered([(changes, text)], answer)[0]
        raise AssertionError("the last try returns")

    async def _each(self, able: Sequence[tuple[Changes, str]]) -> str | bytes:
        members = [changes for changes, _ in able]
        shared = shared_arguments(members, self._statements)
        values = [*self._begin(members), [text for _, text in able], *shared]
        (answer,) = await self._called(self._commit_each, values)
        text: str | bytes = answer
        return text

    def _answered(self, able: Sequence[tuple[Changes, str]], text: str | bytes) -> list[Outcome]:
        answer = _each.decode(text)
        self.head = max(self.head, answer.head or 0)
        return [
            self._outcome(changes, one)
            for (changes, _), one in zip(able, answer.results, strict=True)
        ]

    def _outcome(self, changes: Changes, answer: Answer) -> Outcome:
        where = self._settings.where
        try:
            return outcome_of(changes, answer, self._collections, where=where)
        except Exception as error:  # noqa: BLE001 - it was decided, and must not be sent again
            if answer.refused is None:
                return self._translated(
                    OutcomeUnknownError(
                        f"{where}: a commit was done, and its result can't be read ({error!r}).",
                        where=where,
                    )
                )
            problem = f"{where}: a commit was refused ({answer.refused}); {error!r}. Nothing was "
            return self._translated(StorageError(f"{problem}written.", where=where))

    async def _called(self, sql: str, values: Sequence[Any]) -> asyncpg.Record:
        away = self._connection.seconds_away
        try:
            return await self._connection.call(sql, values)
        finally:  # Time without a server is no time that others held locks.
            self._wait_until += self._connection.seconds_away - away

    def _wait_ms(self, *, log: bool = True) -> int:
        """Return how long the next call may wait for each lock, up to the group's deadline.

        It is shared, so that one who holds a lock for long does not hold up all others in turn.
        """
        left = self._wait_until - asyncio.get_running_loop().time()
        return min(self._lock_ms, max(LOG_LOCK_MS_MIN if log else LOCK_MS_MIN, round(left * 1000)))

    def _begin(self, members: Sequence[Changes]) -> list[Any]:
        self._batch += 1
        log = any(
            changes.appends or changes.conditions or changes.receipts or changes.streams
            for changes in members
        )
        return [self._id, self._batch, self._wait_ms(log=log), log]

    def _results(
        self, members: Sequence[Changes], head: int | None, before: Sequence[int]
    ) -> Sequence[Outcome]:
        done = results(members, head, before)
        self.head = max(self.head, head or 0, *[one.position for one in done])
        return done

    def _text_of(self, changes: Changes) -> str | Exception:
        try:
            return member_text(changes)
        except Exception as error:  # noqa: BLE001 - it is the member's outcome
            return error if isinstance(error, ValueError) else self._translated(error)

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, StorageError):
            # One for each, because a traceback grows with every time that an error is raised.
            outcome: Exception = type(error)(str(error), where=error.where)
        else:
            outcome = translated(error, self._settings)
        if outcome is not error:
            outcome.__cause__ = error
        return outcome


def _call(function: str, values: int) -> str:
    return f"SELECT {function}({', '.join(f'${number}' for number in range(1, values + 1))})"
