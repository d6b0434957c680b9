"""Transactions: what is sent and published runs in a unit of work, committed once at the end."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final, get_args, get_origin
from uuid import UUID

import msgspec

from headwater.domain.aggregate import Aggregate
from headwater.domain.read_model import ReadModel
from headwater.errors import ConfigurationError, UnitOfWorkError
from headwater.mediator.registrations import Strategy
from headwater.mediator.responses import response_type_of
from headwater.mediator.scopes import Call
from headwater.mediator.strategies import run_together
from headwater.messages import Query
from headwater.metadata import CURRENT_CONTEXT, CausedContext, current_context, root_context
from headwater.ports.changes import Committed
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.repository import Repository
from headwater.unit_of_work.unit import CURRENT_UNIT, UnitOfWork
from headwater.unit_of_work.units import Idempotency, Units

CONSUMER: Final = "send"
"""Under this name stand the receipts of what was sent with an id."""


_ID_INSIDE: Final = (
    "send({}, id=…) inside a handler: it is committed with the message around it, so that one's "
    "id is what makes it idempotent. Leave the id out, or add separate=True for a commit of its "
    "own."
)


class Sending(msgspec.Struct):
    """How one request was sent, beyond the ordinary; `committed` is filled by its commit."""

    id: UUID | None = None
    separate: bool = False
    committed: Committed = msgspec.field(default_factory=Committed)

    def check(self, request_type: type, *, has_storage: bool) -> None:
        """Raise `ConfigurationError` if this can't be kept, wherever the request is sent."""
        name = request_type.__name__
        if self.separate and self.id is None:
            raise ConfigurationError(
                f"send({name}, separate=True) needs id=…: if the message around it runs again, "
                f"the id keeps this one from being done twice."
            )
        if not has_storage:
            raise ConfigurationError(
                f"send({name}, id=…) is kept by a storage, and this mediator has none. Give it "
                f"units=…, or use an App."
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

        async def in_unit(message: Any) -> Any:
            sending = _SENDING.get()
            around = self.around()
            if around is not None and not (sending is not None and sending.separate):
                if sending is not None and sending.id is not None:
                    raise ConfigurationError(_ID_INSIDE.format(type(message).__name__))
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
            result = await _within(child, call, message)
            # What a query read, the command around it decides on, so its commit guards that.
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

    # ------------------------------------------------------------------------- publishing

    def publish_around(self, strategy: Strategy, calls: Sequence[Call], *, parallel: bool) -> Call:
        """Return what hands a message to *calls* in the current unit, or in one of its own.

        In parallel each gets a child of the unit; they are merged in order when all are done.
        """
        together = run_together(strategy, calls)

        async def publish(message: Any) -> None:
            unit = _current_unit()
            if not parallel:
                await together(message)
                return
            children = [unit.child() for _ in calls]
            apart = [_in_child(child, call) for child, call in zip(children, calls, strict=True)]
            await run_together(strategy, apart)(message)
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

    def reading_unit(self) -> UnitOfWork:
        """Return a unit of work that a stream reads in."""
        around = self.around()
        return around.child(reads_only=True) if around else self._units.new(reads_only=True)


def unit_values(annotation: Any) -> Callable[[], Any] | None:
    """Resolve what the current unit of work gives: itself, repositories, collections."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is UnitOfWork:
        return _current_unit
    wanted = {Repository: Aggregate, Collection: ReadModel}.get(origin)
    if wanted is None or not (isinstance(arguments[0], type) and issubclass(arguments[0], wanted)):
        return None
    if origin is Repository:
        return lambda: _current_unit().repository(arguments[0])
    return lambda: _current_unit().collection(arguments[0])


def _current_unit() -> UnitOfWork:
    unit = CURRENT_UNIT.get()
    if unit is None:
        raise UnitOfWorkError("No unit of work is open here; it is, where a message is handled.")
    return unit


async def _joined(unit: UnitOfWork, call: Call, message: Any) -> Any:
    # A task that outlives its handler must not write into a unit that is committed already.
    unit.check_open()
    try:
        result = await call(message)
    except BaseException as error:
        unit.poison(error)
        raise
    # What was recorded in there was caused by *message*, what comes now by the one around it.
    unit.seal()
    return result


async def _within(unit: UnitOfWork | None, call: Call, message: Any) -> Any:
    token = CURRENT_UNIT.set(unit)
    try:
        return await call(message)
    finally:
        CURRENT_UNIT.reset(token)


def _in_child(child: UnitOfWork, call: Call) -> Call:
    return lambda message: _within(child, call, message)
