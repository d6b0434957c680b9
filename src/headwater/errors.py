"""Every error of the library, as one tree.

``HeadwaterError`` is the root. An error's values are its attributes; its text says what
happened, with which values, and what to do. All of them survive pickling.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headwater.streams import ExpectedVersion


def _rebuild(cls: type[BaseException], text: str, values: dict[str, Any]) -> BaseException:
    error = cls.__new__(cls, text)
    error.args = (text,)
    error.__dict__.update(values)
    return error


class HeadwaterError(Exception):
    """The root of all errors that the library raises on its own account."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), dict(self.__dict__))


# ------------------------------------------------------------------------------ the business


class RefusedError(HeadwaterError):
    """The business says no. An answer, not a failure: never retried. Subclass it."""


# -------------------------------------------------------------------------------- the wiring


class ConfigurationError(HeadwaterError):
    """A setting or call is wrong whatever the data; mend the code or the setting."""


class InvalidNameError(ConfigurationError):
    """A name does not match the pattern for its kind."""

    def __init__(self, kind: str, name: str, reason: str) -> None:
        self.kind, self.name, self.reason = kind, name, reason
        super().__init__(f"{name!r} can't be a {kind}: {reason}.")


class LimitExceededError(HeadwaterError):
    """Something is larger than a named limit allows."""

    def __init__(self, what: str, *, limit: int, actual: int) -> None:
        self.what, self.limit, self.actual = what, limit, actual
        super().__init__(f"Too many {what}: {actual}, the limit is {limit}.")


class WiringFault:
    """One thing that is wrong in the wiring: what, where, and what to do about it."""

    __slots__ = ("advice", "problem", "where")

    def __init__(self, problem: str, *, where: str, advice: str) -> None:
        self.problem, self.where, self.advice = problem, where, advice

    def __str__(self) -> str:
        return f"{self.where}: {self.problem} {self.advice}".rstrip()

    def __repr__(self) -> str:
        return f"WiringFault({self.problem!r}, where={self.where!r}, advice={self.advice!r})"


class WiringError(ConfigurationError):
    """The wiring has faults; all that could be found are listed in `faults`."""

    def __init__(self, faults: Sequence[WiringFault]) -> None:
        self.faults = tuple(faults)
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"{len(self.faults)} fault(s) in the wiring:\n{lines}")


class MissingExtraError(ConfigurationError):
    """A driver is not installed."""

    def __init__(self, driver: str, extra: str) -> None:
        self.driver, self.extra = driver, extra
        super().__init__(
            f"{driver!r} is not installed. Install it with: pip install 'headwater[{extra}]'"
        )


class HandlerNotFoundError(ConfigurationError):
    """Nothing handles a message that was sent, or published under a strict policy."""

    def __init__(self, message_type: type, problem: str) -> None:
        self.message_type = message_type
        super().__init__(problem)


class AmbiguousHandlerError(ConfigurationError):
    """A request has no handler of its own, and two of its base classes have one each."""

    def __init__(self, message_type: type, first: type, second: type) -> None:
        self.message_type, self.first, self.second = message_type, first, second
        super().__init__(
            f"{message_type.__name__} has no handler of its own, and both {first.__name__} and "
            f"{second.__name__}, of which it is one, have. Write a handler for it."
        )


class NotPublishableError(ConfigurationError):
    """A published type can reach nobody but durable subscribers, which read the log."""

    def __init__(self, message_type: type) -> None:
        self.message_type = message_type
        super().__init__(
            f"publish({message_type.__name__}) would reach nobody: only durable subscribers take "
            f"it, and they read the log. Record it in an aggregate or append it, or register an "
            f"@on handler for it."
        )


class NestedExecuteError(ConfigurationError):
    """`execute` was called inside a handler, where nothing has been committed yet."""

    def __init__(self, message_type: type) -> None:
        self.message_type = message_type
        super().__init__(
            f"execute({message_type.__name__}) inside a handler: the outer unit of work has not "
            f"committed, so there is no position to return. Use send(), or send(…, separate=True, "
            f"id=…) for a commit of its own."
        )


# ------------------------------------------------------------------------------ the messages


class MessageTypeError(ConfigurationError):
    """A message type can't be used as it is."""


class DuplicateTypeNameError(MessageTypeError):
    """Two classes claim one stored type name."""

    def __init__(self, name: str, first: type, second: type) -> None:
        self.name, self.first, self.second = name, first, second
        super().__init__(
            f"Type name {name!r} is claimed by {first.__module__}.{first.__qualname__} and "
            f"{second.__module__}.{second.__qualname__}. Give one of them another: name='…'."
        )


class UnknownTypeError(HeadwaterError):
    """A stored type name, or a newer schema version of it, has no class in this process."""

    stream_id: str | None = None
    position: int | None = None
    version: int | None = None

    def __init__(self, name: str, schema_version: int, known: int | None = None) -> None:
        self.name, self.schema_version, self.known = name, schema_version, known
        super().__init__(self._text(""))

    def at(
        self, stream_id: str, *, position: int | None = None, version: int | None = None
    ) -> "UnknownTypeError":
        """Return this error for an event of a stream, at a position or version."""
        error = UnknownTypeError(self.name, self.schema_version, self.known)
        error.stream_id, error.position, error.version = stream_id, position, version
        places = {"position": position, "version": version}
        known = [f"{name} {number}" for name, number in places.items() if number is not None]
        error.args = (error._text(f" ({', '.join([*known, f'stream {stream_id!r}'])})"),)
        return error

    def _text(self, place: str) -> str:
        known = self.known
        found = "no class is registered for it" if known is None else f"this code knows {known}"
        return (
            f"Event type {self.name!r} version {self.schema_version}{place}: {found}. Register the "
            f"class, or run the newer code."
        )


class SerializationError(HeadwaterError):
    """A value can't be encoded, or stored bytes can't be decoded."""


class RoundTripError(SerializationError):
    """An event does not come back equal from encode + decode, so it is not appended."""

    def __init__(self, message_type: type, problem: str) -> None:
        self.message_type, self.problem = message_type, problem
        super().__init__(
            f"{message_type.__name__} does not come back equal from encode + decode: {problem} "
            f"Nothing was written: what is stored wrong stays wrong for ever."
        )


class UpcasterError(ConfigurationError):
    """An upcaster failed, or what it returned is not what it says, or can't be read."""

    def __init__(self, name: str, schema_version: int, problem: str, *, where: str) -> None:
        self.name, self.schema_version = name, schema_version
        self.problem, self.where = problem, where
        super().__init__(
            f"The upcaster of {name!r} version {schema_version} ({where}): {problem.rstrip('.')}. "
            f"Mend the upcaster; what is stored is as it was."
        )


class SubjectForgottenError(HeadwaterError):
    """Personal data of a subject can't be written: the subject was forgotten."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(
            f"Subject {subject!r} was forgotten and its key destroyed: nothing personal can be "
            f"written for it any more. Use a new subject id for a new relationship."
        )


class KeyStoreError(HeadwaterError):
    """The store of keys for personal data, or its ledger, can't do what was asked."""


class KeyStoreUnavailableError(KeyStoreError):
    """The store of keys can't be reached, or is busy. Try again: nothing is done twice by that."""


class KeyStoreMismatchError(KeyStoreError):
    """A storage is written with the keys of another key store than the one that is named."""

    def __init__(self, keys: str, *, bound_to: str, problem: str) -> None:
        self.keys, self.bound_to, self.problem = keys, bound_to, problem
        super().__init__(
            f"{keys} is not the key store of this storage, which is written with {bound_to}: "
            f"{problem}. Is the keys' URL mistyped? Name the one that belongs here; one that was "
            f"made by mistake can be deleted. Only if the right one is lost for good: headwater "
            f"personal adopt (docs/forget-a-person.md)."
        )


class ValidationError(HeadwaterError):
    """A request does not meet its own constraints."""

    def __init__(self, message_type: type, problems: Sequence[str]) -> None:
        self.message_type, self.problems = message_type, tuple(problems)
        super().__init__(f"{message_type.__name__} is not valid: {'; '.join(self.problems)}")


class NotAuthorizedError(RefusedError):
    """The actor of the current context may not send this request."""

    def __init__(self, message_type: type, actor: str | None) -> None:
        self.message_type, self.actor = message_type, actor
        super().__init__(f"{actor or 'An unknown actor'} may not send {message_type.__name__}.")


class DeadlineExceededError(HeadwaterError):
    """The deadline of the current context has passed; nothing was committed."""

    def __init__(self, what: str, deadline: object) -> None:
        self.what, self.deadline = what, deadline
        super().__init__(f"{what}: the deadline {deadline} has passed. Nothing was committed.")


# ------------------------------------------------------------------------------- the policies


class CallRejectedError(HeadwaterError):
    """A policy did not let a call through, so the function did not run."""


class CircuitOpenError(CallRejectedError):
    """A circuit breaker lets nothing through, because what it guards has failed too often.

    `until` is the time at which it lets a call through again, `seconds` how long that is from
    now: 0.0 where all its probes are under way. `reason` says why it opened.
    """

    def __init__(self, breaker: str, *, until: datetime, seconds: float, reason: str) -> None:
        self.breaker, self.until = breaker, until
        self.seconds, self.reason = seconds, reason
        when = f"until {until} (for {seconds:.3g} s)" if seconds else f"at {until}, being probed"
        super().__init__(f"{breaker!r} is open {when}: {reason}. Nothing was called.")


class BulkheadFullError(CallRejectedError):
    """As many calls are running, and waiting behind them, as a bulkhead allows."""

    def __init__(self, bulkhead: str, *, concurrency_max: int, queue_max: int) -> None:
        self.bulkhead = bulkhead
        self.concurrency_max, self.queue_max = concurrency_max, queue_max
        super().__init__(
            f"{bulkhead!r} is full: {concurrency_max} calls run (concurrency_max) and {queue_max} "
            f"wait (queue_max). Nothing was called; try again later."
        )


class RateLimitExceededError(CallRejectedError):
    """A call would have to wait longer for its turn, or behind more, than a rate limit allows.

    `retry_after` is the wait for a turn in seconds, as it stands now.
    """

    def __init__(self, limit: str, *, retry_after: float, problem: str) -> None:
        self.limit, self.retry_after, self.problem = limit, retry_after, problem
        super().__init__(
            f"{limit!r} is exceeded: {problem}. Nothing was called; there is a turn in "
            f"{retry_after:.3g} s."
        )


class CallTimeoutError(HeadwaterError, TimeoutError):
    """A call took longer than its timeout and was cancelled."""

    def __init__(self, what: str, *, seconds: float) -> None:
        self.what, self.seconds = what, seconds
        super().__init__(f"{what} took longer than {seconds:.3g} s and was cancelled.")


# ------------------------------------------------------------------------------- the storage


class StorageError(HeadwaterError):
    """The storage can't do what was asked.

    `where` names the storage (a file, a URL without its secrets) where that is what is wrong.
    """

    where: str | None = None

    def __init__(self, text: str = "", *, where: str | None = None) -> None:
        self.where = where
        super().__init__(text)


class ConflictError(StorageError):
    """Somebody else changed what this commit was decided on. Reload and decide again.

    A unit of work reruns its handler on these, and on nothing else.
    """


class ConcurrencyError(ConflictError):
    """A stream is not at the version that the writer expected."""

    def __init__(self, stream_id: str, *, expected: "ExpectedVersion", actual: int) -> None:
        self.stream_id, self.expected, self.actual = stream_id, expected, actual
        super().__init__(
            f"Stream {stream_id!r}: expected {expected}, found version {actual}. "
            f"Reload the aggregate and decide again."
        )


class RowConflictError(ConflictError):
    """A row is not at the version that the writer read."""

    def __init__(self, collection: str, key: str, *, expected: int, actual: int) -> None:
        self.collection, self.key = collection, key
        self.expected, self.actual = expected, actual
        super().__init__(
            f"Row {key!r} of {collection!r}: expected row version {expected}, found {actual} "
            f"(0 means no row). Read it again and decide again."
        )


class TagConditionError(ConflictError):
    """An event that the tag condition excludes was appended after the decision was made."""

    def __init__(self, tags: Sequence[str], *, after: int, position: int) -> None:
        self.tags, self.after, self.position = tuple(tags), after, position
        super().__init__(
            f"An event tagged {', '.join(self.tags)} stands at position {position}, after "
            f"{after} where the decision was made. Read again and decide again."
        )


class DuplicateValueError(StorageError):
    """A row would repeat the value of a unique field."""

    def __init__(
        self, collection: str, field: str, value: object, key: str, advice: str = ""
    ) -> None:
        self.collection, self.field, self.value, self.key = collection, field, value, key
        self.advice = advice
        problem = f"{field} {value!r} is taken already, so row {key!r} can't have it."
        super().__init__(f"{collection!r}: {problem} {advice}".rstrip())


class InlineVersionError(StorageError):
    """Rows that are committed with their events are computed by code of another version.

    Nothing was written: the event of this code would be missing in the rows. It passes once the
    rows of this code's version are switched to.
    """

    def __init__(self, projection: str, *, live: int, code: int) -> None:
        self.projection, self.live, self.code = projection, live, code
        advice = (
            f"Stop this release, and run the one that has version {live}."
            if live > code
            else f"Leave it to the release before, until the rows of this one are built and live: "
            f"headwater projection switch {projection}."
        )
        super().__init__(
            f"Projection {projection!r}: the live rows are of version {live} and committed with "
            f"their events; this code has version {code}, so its event would be missing in them. "
            f"{advice}"
        )


class RowFormError(StorageError):
    """The live rows of a read model lack fields that this code reads.

    They were computed by a projection of another version. It passes once the rows of this code's
    version are switched to.
    """

    def __init__(self, model: str, fields: Sequence[str], *, live: int) -> None:
        self.model, self.fields, self.live = model, tuple(fields), live
        super().__init__(
            f"{model}: the live rows, of version {live}, have no {', '.join(self.fields)} to read "
            f"or to find them by. Switch to rows that this code computes, or stop this release if "
            f"it is the older one. A field that is to go stays for one version more."
        )


class IdempotencyConflictError(StorageError):
    """An id that is known came again with other content, place or order."""

    def __init__(self, what: str, id: object, problem: str) -> None:
        self.what, self.id, self.problem = what, id, problem
        super().__init__(f"{what} {id} is known already: {problem}. Use a new id for new content.")


class ReceiptExistsError(StorageError):
    """A message was handled already; the stored receipt has what came of it."""

    def __init__(self, consumer: str, message_id: object) -> None:
        self.consumer, self.message_id = consumer, message_id
        super().__init__(
            f"{consumer!r} has handled message {message_id} already. Nothing was written; the "
            f"stored receipt holds the outcome."
        )


class CheckpointConflictError(StorageError):
    """A checkpoint does not stand where the worker that moves it left it."""

    def __init__(self, subscription: str, partition: int, *, expected: int, actual: int) -> None:
        self.subscription, self.partition = subscription, partition
        self.expected, self.actual = expected, actual
        super().__init__(
            f"Subscription {subscription!r}, partition {partition}: expected checkpoint "
            f"{expected}, found {actual}. Another worker moved it; load it again."
        )


class LeaseLostError(StorageError):
    """The lease under which a checkpoint was to move is lost; nothing was written."""

    def __init__(self, subscription: str, partition: int) -> None:
        self.subscription, self.partition = subscription, partition
        super().__init__(
            f"Subscription {subscription!r}, partition {partition}: the lease of this commit is "
            f"lost. Another worker has taken over, or it was released or revoked. Nothing was "
            f"written."
        )


class LogRewoundError(StorageError):
    """The log ends before, or differs at, a position that was read already."""

    def __init__(self, who: str, *, position: int, head: int) -> None:
        self.who, self.position, self.head = who, position, head
        super().__init__(
            f"{who} stands at position {position}, but the log is not the one it read (head "
            f"{head}). A backup was restored or a failover lost events. Stop the app and run: "
            f"headwater db recover, which shows what is ahead of the log and brings it back."
        )


class StreamClosedError(StorageError):
    """A stream takes no such events or changes: archived, tombstoned or staged."""

    def __init__(self, stream_id: str, state: str, advice: str = "") -> None:
        if not advice and state == "staged":
            advice = (
                "It takes only events that are staged: Outbox.stage, see docs/append-in-your-own-"
                "transaction.md. To make an ordinary stream of it, archive and restore it "
                "(headwater stream archive, restore)."
            )
        self.stream_id, self.state, self.advice = stream_id, state, advice
        text = f"Stream {stream_id!r} is {state}: nothing was written. {advice}"
        super().__init__(text.rstrip())


class RestoreConflictError(StorageError):
    """A log that is to be restored does not go with what the storage holds already."""


class ExportFileError(StorageError):
    """A file of exported events is damaged, unfinished, or not one."""


class StorageUnavailableError(StorageError):
    """The storage's server can't be reached, or refuses connections; nothing was written."""


class OutcomeUnknownError(StorageError):
    """The connection was lost during a commit, and whether it was done could not be found out.

    Look whether the change is there, or send the same message again under the same id.
    """


class StorageClosedError(StorageError):
    """The storage was closed, or never opened."""


class StorageBusyError(StorageError):
    """The storage was locked by another process for longer than the named timeout."""


class StorageFullError(StorageError):
    """The disk is full; the commit was rolled back and nothing is lost."""


class StorageCorruptError(StorageError):
    """The stored data is damaged."""


class StorageReadOnlyError(StorageError):
    """The storage can be read, not written."""


class SchemaVersionError(StorageError):
    """The stored schema is newer than this code can read, or no Headwater schema at all."""


class MigrationNeededError(SchemaVersionError):
    """The stored schema is missing or older than this code needs; migrate it first."""


class UnsupportedFileSystemError(StorageError):
    """The file system can't keep the promises that the storage makes."""


class ForkedProcessError(StorageError):
    """A storage was used in a forked child; open a new one there."""


# --------------------------------------------------------------- units of work and aggregates


class UnitOfWorkError(HeadwaterError):
    """A unit of work was used against its rules."""


class AggregateError(HeadwaterError):
    """An aggregate can't be loaded or changed as asked."""


class AggregateNotFoundError(AggregateError):
    """No aggregate stands under this id."""

    def __init__(self, aggregate: str, id: object) -> None:
        self.aggregate, self.id = aggregate, id
        super().__init__(f"{aggregate} {id} does not exist.")


class AggregateExistsError(AggregateError):
    """An aggregate was added under an id that is taken."""

    def __init__(self, aggregate: str, stream_id: str, version: int) -> None:
        self.aggregate, self.stream_id, self.version = aggregate, stream_id, version
        super().__init__(
            f"{aggregate} can't be added: stream {stream_id!r} exists already, at version "
            f"{version}. Choose another id, or find it first and decide by what is there."
        )


class UnknownEventError(AggregateError):
    """An aggregate or projection has no @applies method for an event."""

    def __init__(self, owner: str, event_type: str) -> None:
        self.owner, self.event_type = owner, event_type
        super().__init__(
            f"{owner} has no @applies method for {event_type}. Add one; it may do nothing."
        )


class ApplyError(AggregateError):
    """An @applies method or `evolve` failed on an event; its own error is the cause.

    `version` is the place the event has, or would have had, in the stream. An aggregate that
    was recording is as it was before; one that was being loaded is not usable.
    """

    def __init__(
        self, owner: str, id: object, *, event_type: str, version: int, problem: str
    ) -> None:
        self.owner, self.id, self.event_type = owner, id, event_type
        self.version, self.problem = version, problem
        super().__init__(
            f"{f'{owner} {id}'.rstrip()} can't apply {event_type} as version {version}: {problem}. "
            f"What applies an event must take every one ever recorded; check before recording."
        )


class HistoryUnavailableError(AggregateError):
    """A state was asked for as of a version or time that the log can't answer for.

    The stream has not come that far, its events up to there were erased, or the aggregate is
    stored as state.
    """

    def __init__(self, who: str, *, as_of: object, problem: str) -> None:
        self.who, self.as_of, self.problem = who, as_of, problem
        super().__init__(f"{who} as of {as_of}: {problem}")


class MomentError(HeadwaterError, ValueError):
    """A place in the past was named by something that can't name one."""

    def __init__(self, moment: object, problem: str) -> None:
        self.moment, self.problem = moment, problem
        super().__init__(
            f"{moment!r} names no place in the past: {problem}. Give a number (the version of a "
            f"stream, or the log's position for a read model), an aware datetime, or a receipt."
        )


class RowMissingError(HeadwaterError):
    """A projection's method needs a row that does not exist."""

    def __init__(self, projection: str, event_type: str, key: str, position: int) -> None:
        self.projection, self.event_type = projection, event_type
        self.key, self.position = key, position
        super().__init__(
            f"{projection}: {event_type} at position {position} needs row {key!r}, which does "
            f"not exist. Annotate the row as '… | None' if it may be missing."
        )


class ProjectionKeyError(HeadwaterError):
    """A projection's method returned a row of another key than the event belongs to."""

    def __init__(self, method: str, *, expected: str, actual: str) -> None:
        self.method, self.expected, self.actual = method, expected, actual
        super().__init__(
            f"{method} returned a row with key {actual!r} for an event of row {expected!r}. Return "
            f"that row changed, or say with @applies(key=…) which row the event belongs to."
        )


# ------------------------------------------------------------------------- the subscriptions


class SubscriptionError(HeadwaterError):
    """A subscription can't go on or can't be waited for."""


class HandlerCancelledError(HeadwaterError):
    """A handler raised `CancelledError` though nobody had cancelled it."""

    def __init__(self, subscription: str) -> None:
        self.subscription = subscription
        super().__init__(
            f"The handler of {subscription!r} raised CancelledError, though nobody cancelled it. "
            f"Await what it cancels, and let only its own cancellation out."
        )


class UncertainEffectError(HeadwaterError):
    """An effect outside was begun and not recorded: it may have happened or not."""

    def __init__(self, name: str, key: str, *, begun_at: datetime, problem: str) -> None:
        self.name, self.key = name, key
        self.begun_at, self.problem = begun_at, problem
        how = f"has failed ({problem})" if problem else "was cut off"
        super().__init__(
            f"Effect {name!r} of {key} was begun at {begun_at} and {how}: it may have happened or "
            f"not. Give once(…, reconcile=…), which finds out; or look, and tell it by "
            f"EffectLedger.settle({name!r}, {key!r}, …)."
        )


class SubscriptionFailedError(SubscriptionError):
    """A subscription stopped because a handler failed; the handler's error is the cause."""

    def __init__(self, subscription: str, *, position: int, problem: str) -> None:
        self.subscription, self.position, self.problem = subscription, position, problem
        super().__init__(
            f"Subscription {subscription!r} stopped at position {position}: {problem}. Nothing "
            f"was skipped; mend the cause and start it again."
        )


KEYS_NAMED_MAX: Final = 10
"""How many parked keys the text of an error names at most."""


class ParkedKeyError(SubscriptionError):
    """A key is parked behind a dead letter, so a wait for it can't succeed."""

    def __init__(self, subscription: str, keys: Sequence[str]) -> None:
        self.subscription, self.keys = subscription, tuple(keys)
        named = ", ".join(self.keys[:KEYS_NAMED_MAX])
        more = len(self.keys) - KEYS_NAMED_MAX
        super().__init__(
            f"Subscription {subscription!r} has parked keys: {named}"
            f"{f' and {more} more' if more > 0 else ''}. See app.dead_letters, or: headwater dlq "
            f"list --subscription {subscription}"
        )


class SwitchError(SubscriptionError):
    """A projection's rows can't be built beside the live ones, or not be put in their place."""

    def __init__(self, projection: str, problem: str, advice: str) -> None:
        self.projection, self.problem, self.advice = projection, problem, advice
        super().__init__(f"Projection {projection!r}: {problem}. {advice}")


class HeldLimitError(SubscriptionError):
    """More events wait behind parked or delayed keys than a subscription may keep."""

    def __init__(self, subscription: str, partition: int, *, limit: int) -> None:
        self.subscription, self.partition, self.limit = subscription, partition, limit
        super().__init__(
            f"Subscription {subscription!r}, partition {partition}: {limit} events wait behind "
            f"keys that are held, and no more may. Mend the dead letters and replay them, or "
            f"discard them: headwater dlq list. It goes on as soon as there is room."
        )


class DeliveryNotHeldError(SubscriptionError):
    """A delivery that an operator names is not held, or there is nothing to deliver any more."""

    def __init__(self, delivery: str, problem: str) -> None:
        self.delivery, self.problem = delivery, problem
        super().__init__(
            f"Delivery {delivery!r} can't be mended: {problem}. What is held, says: headwater dlq "
            f"list; what was done with it: headwater dlq history --delivery {delivery}."
        )


class DryRunError(SubscriptionError):
    """A handler wanted to commit something on its own in a dry run."""

    def __init__(self) -> None:
        super().__init__(
            "This is a dry run: nothing is committed, also not by a send in a unit of its own. "
            "What the handler would have done after it is not known."
        )


class WorkerDiedError(SubscriptionError):
    """A worker died whenever it handled an event, and nothing but that event."""

    def __init__(self, subscription: str, *, position: int, times: int) -> None:
        self.subscription, self.position, self.times = subscription, position, times
        super().__init__(
            f"Subscription {subscription!r}: the worker died {times} times while the event at "
            f"position {position} alone was handled. Find out what it does to the process before "
            f"it is tried again."
        )


_NOT_REACHED = (
    "Is a worker running, or does a handler hang? See headwater status, or app.status() in its "
    "process."
)


class WaitTimeoutError(SubscriptionError, TimeoutError):
    """A subscription did not reach a position in time.

    `waits_for` says what it waits for, where it leaves events for a worker that knows them.
    """

    def __init__(
        self,
        subscription: str,
        *,
        target: int,
        reached: int,
        seconds: float,
        waits_for: str | None = None,
    ) -> None:
        self.subscription, self.target = subscription, target
        self.reached, self.seconds, self.waits_for = reached, seconds, waits_for
        super().__init__(
            f"Subscription {subscription!r} reached position {reached} of {target} within "
            f"{seconds:.3g} s. " + (f"It {waits_for}." if waits_for else _NOT_REACHED)
        )
