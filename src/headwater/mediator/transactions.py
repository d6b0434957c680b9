"""Transactions: what is sent and published runs in a unit of work, committed once at the end."""

from collections.abc import Callable, Sequence
from contextvars import Context, ContextVar
from typing import Any, Final

from headwater.errors import ConfigurationError, ConflictError, UnitOfWorkError
from headwater.mediator.registrations import Strategy
from headwater.mediator.responses import response_type_of
from headwater.mediator.scopes import Call
from headwater.mediator.sending import Sending
from headwater.mediator.strategies import run_together
from headwater.mediator.streaming import Ended
from headwater.messages import Command, Query
from headwater.metadata import CURRENT_CONTEXT, CausedContext, current_context, root_context
from headwater.resilience import Guard
from headwater.unit_of_work.attempts import attempted
from headwater.unit_of_work.unit import CURRENT_UNIT, UnitOfWork
from headwater.unit_of_work.units import Idempotency, Units

CONSUMER: Final = "send"
"""Under this name stand the receipts of what was sent with an id."""


_ID_INSIDE: Final = (
    "send({}, id=…) inside a handler: it is committed with the message around it, so that one's "
    "id is what makes it idempotent. Leave the id out, or add separate=True for a commit of its "
    "own."
)

_INSIDE_QUERY: Final = (
    "{} was sent inside a query, which only reads and commits nothing. Make the query a command; "
    "or ask for the Mediator and send with separate=True and an id: that has a commit of its own."
)


_SENDING: ContextVar[Sending | None] = ContextVar("headwater_sending", default=None)


class Transactions:
    """Runs calls in units of work of *units*.

    Who comes first opens the unit and commits it; a conflict runs everything inside again.
    Whoever comes while it is open joins it, and what raises in it can't be committed any more.
    """

    def __init__(self, units: Units) -> None:
        self._units = units

    def around(self) -> UnitOfWork | None:
        """Return the unit of work that a message here joins, if there is one.

        One of another app is not joined: what happens here is committed to our storage.
        """
        unit = CURRENT_UNIT.get()
        return unit if unit is not None and unit.is_of(self._units) else None

    # -------------------------------------------------------------------------- messages

    def message_around(self, call: Call) -> Callable[..., Any]:
        """Return *call* with a message context of its own; it also takes how it was sent."""

        async def handle(message: Any, sending: Sending | None = None) -> Any:
            unit = CURRENT_UNIT.get()
            if unit is not None:
                # What was recorded up to here was caused by the message around this one.
                unit.seal()
            around = CURRENT_CONTEXT.get()
            if sending is None or sending.id is None:
                context = CURRENT_CONTEXT.set(CausedContext(around))
            else:
                caused = current_context()
                context = CURRENT_CONTEXT.set(
                    caused.caused(sending.id) if caused else root_context(sending.id)
                )
            sent = _SENDING.set(sending)
            try:
                return await call(message)
            finally:
                _SENDING.reset(sent)
                CURRENT_CONTEXT.reset(context)

        return handle

    def unit_around(self, call: Call, request_type: type) -> Call:
        """Return *call* in a unit of work: the current one, or one that is committed here."""
        response_type = response_type_of(request_type)
        if issubclass(request_type, Query):
            return self._reading(call)
        changes_something = issubclass(request_type, Command)

        async def in_unit(message: Any) -> Any:
            sending = _SENDING.get()
            around = self.around()
            if around is not None and not (sending is not None and sending.separate):
                if sending is not None and sending.id is not None:
                    raise ConfigurationError(_ID_INSIDE.format(type(message).__name__))
                if around.reads_only and changes_something:
                    raise UnitOfWorkError(_INSIDE_QUERY.format(type(message).__name__))
                return await _joined(around, call, message)
            once = self._once(message, sending, response_type)
            done = await self._units.run(lambda _: call(message), once=once)
            if sending is not None:
                sending.committed = done.committed
            return done.result

        return in_unit

    def _reading(self, call: Call) -> Call:
        async def in_reading_unit(message: Any) -> Any:
            around = self.around()
            if around is None:
                done = await self._units.run(lambda _: call(message), reads_only=True)
                return done.result
            if around.reads_only:
                return await call(message)
            child = around.child(reads_only=True)
            # What a query read, the command around it decides on, so its commit guards that.
            try:
                result = await _within(child, call, message)
            except Exception as error:
                # "Not found" is an answer, too.
                _merge_failed(around, child, error)
                raise
            around.merge(child)
            return result

        return in_reading_unit

    def _once(
        self, message: object, sending: Sending | None, response_type: Any
    ) -> Idempotency[Any] | None:
        if sending is None or sending.id is None:
            return None
        codec = self._units.codec
        return Idempotency(
            CONSUMER,
            sending.id,
            codec.digest(message),
            lambda result: codec.encode_value(result, response_type, exact=True),
            lambda text: codec.decode_value(text, response_type),
        )

    def attempts_of(self, call: Call, policy: Guard, name: str) -> Call:
        """Return *call*, known as *name*, under *policy*: see `attempted`."""

        async def under_policy(message: Any) -> Any:
            around = self.around()
            if around is None:
                return await policy.call(call, message)
            return await attempted(policy, lambda _: call(message), within=around, name=name)

        return under_policy

    # ------------------------------------------------------------------------- publishing

    def publish_around(self, strategy: Strategy, calls: Sequence[Call], *, parallel: bool) -> Call:
        """Return what hands a message to *calls* in the current unit, or in one of its own.

        In parallel each gets a child of the unit; they are merged in order when all are done.
        A conflict that one of them met is raised bare, so that the outermost runs again.
        """
        together = run_together(strategy, calls)

        async def publish(message: Any) -> None:
            unit = current_unit()
            if not parallel:
                await _raising_conflicts(unit, together, message)
                return
            children = [unit.child() for _ in calls]
            apart = [_in_child(child, call) for child, call in zip(children, calls, strict=True)]
            await _raising_conflicts(unit, run_together(strategy, apart), message)
            for child in children:
                unit.merge(child)

        async def publish_in_unit(message: Any) -> None:
            around = self.around()
            if around is not None:
                await _joined(around, publish, message)
            else:
                await self._units.run(lambda _: publish(message))

        return publish_in_unit

    def own_unit(self, call: Call) -> Call:
        """Return *call* in a unit of work of its own, whatever is current."""

        async def in_own_unit(message: Any) -> None:
            await self._units.run(lambda _: call(message))

        return in_own_unit

    def after_commit(self, call: Call) -> Call:
        """Return *call* put off until the current unit of work is committed, if there is one.

        Then it runs outside of any unit, in the context it was put off in.
        """

        async def put_off(message: Any) -> None:
            unit = CURRENT_UNIT.get()
            if unit is None:
                await call(message)
                return
            context = CURRENT_CONTEXT.get()

            async def callback() -> None:
                inner = CURRENT_CONTEXT.set(context)
                try:
                    await _within(None, call, message)
                finally:
                    CURRENT_CONTEXT.reset(inner)

            unit.after_commit(callback)

        return put_off

    def read_in(self, context: Context) -> Ended:
        """Make *context* one of a stream: with a unit that only reads; return what ends it.

        The end raises `UnitOfWorkError` if the stream has collected something. What it put off
        is done then, or with the commit of the unit around it.
        """
        around = self.around()
        unit = around.child(reads_only=True) if around else self._units.new(reads_only=True)
        context.run(CURRENT_UNIT.set, unit)

        async def ended() -> None:
            try:
                unit.changes()
            finally:
                unit.close()
            if around is None:
                await self._units.call_back(unit)
                return
            for callback in unit.callbacks:
                around.after_commit(callback)

        return ended


def current_unit() -> UnitOfWork:
    """Return the unit of work of the message that is handled here.

    Raises:
        UnitOfWorkError: there is none.
    """
    unit = CURRENT_UNIT.get()
    if unit is None:
        raise UnitOfWorkError("No unit of work is open here; it is, where a message is handled.")
    return unit


async def _joined(unit: UnitOfWork, call: Call, message: Any) -> Any:
    # A task that outlives its handler must not write into a unit that is committed already.
    unit.enter()
    try:
        result = await call(message)
        # If the handler around did not wait, what was collected here is lost.
        unit.check_open()
    except BaseException as error:
        unit.poison(error)
        raise
    finally:
        unit.leave()
    # What was recorded in there was caused by *message*, what comes now by the one around it.
    unit.seal()
    return result


async def _raising_conflicts(unit: UnitOfWork, together: Call, message: Any) -> None:
    try:
        await together(message)
    except ExceptionGroup as failed:
        if unit.conflicted:
            for error in failed.exceptions:
                if isinstance(error, ConflictError):
                    raise error from failed
        raise


def _merge_failed(around: UnitOfWork, child: UnitOfWork, error: Exception) -> None:
    """Guard what a query read that raised *error*; if it did more, *around* is half done."""
    try:
        around.merge(child)
    except UnitOfWorkError:
        around.poison(error)


async def _within(unit: UnitOfWork | None, call: Call, message: Any) -> Any:
    token = CURRENT_UNIT.set(unit)
    try:
        return await call(message)
    finally:
        CURRENT_UNIT.reset(token)


def _in_child(child: UnitOfWork, call: Call) -> Call:
    return lambda message: _within(child, call, message)
