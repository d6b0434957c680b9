"""Other Python mediators, each doing what `mediator.py` measures of ours.

A peer is a function that returns operations by column; one that is not installed raises
ImportError and is passed over. Handlers do nothing, as ours don't.
"""

# mypy: disable-error-code="misc"
# pyright: reportUntypedBaseClass=false
# Peers are imported by name, because none of them is installed where the types are checked.

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Operations = dict[str, tuple[Callable[..., Awaitable[object]], object]]
"""Column to operation and message: send, two behaviours, publish to one and to three in turn."""

INSTALL = "mediatorx mediatr py-mediatr mediary diator blinker"


class NewEachTime:
    """The least container that diator takes: cls() per call."""

    async def resolve(self, cls: Callable[[], object]) -> object:
        return cls()


def mediatorx() -> Operations:
    mx: Any = import_module("mediatorx")

    class Handler:
        async def handle(self, message: Any) -> Any:
            return message.n

    class Second(Handler):
        pass

    class Third(Handler):
        pass

    class Behaviour:
        async def handle(self, message: Any, next: Any) -> Any:
            return await next()

    class Another(Behaviour):
        pass

    @dataclass
    class Req(mx.IRequest):
        n: int

    @dataclass
    class Note(mx.INotification):
        n: int

    def build(*behaviours: type, handlers: tuple[type, ...] = (Handler,)) -> Any:
        resolver = mx.DictResolver()
        for cls in (Handler, Second, Third, Behaviour, Another):
            resolver.add_instance(cls, cls())
        mediator = mx.Mediator(resolver)
        mediator.register(Req, Handler)
        for handler in handlers:
            mediator.register_notification(Note, handler)
        for behaviour in behaviours:
            mediator.add_behavior(behaviour)
        return mediator

    three = build(handlers=(Handler, Second, Third))
    return {
        "send": (build().send, Req(1)),
        "send, two behaviours": (build(Behaviour, Another).send, Req(1)),
        "publish to one": (build().publish, Note(1)),
        "publish to three, in turn": (three.publish, Note(1)),
    }


def mediatr() -> Operations:
    mt: Any = import_module("mediatr")

    class Req:
        n = 1

    async def handle(request: Req) -> int:
        return request.n

    mt.Mediator.register_handler(handle)
    return {"send": (mt.Mediator().send_async, Req())}


def py_mediatr() -> Operations:
    pm: Any = import_module("py_mediatR")

    @dataclass
    class Req(pm.IRequest):
        n: int

    @dataclass
    class Note(pm.INotification):
        n: int

    class Handler:
        async def handle(self, request: Any) -> Any:
            return request.n

    def build(handlers: int) -> Any:
        mediator = pm.Mediator(auto_discover=False, use_explicit_registrations=False)
        mediator.register_handler(Req, Handler())
        for _ in range(handlers):
            mediator.register_notification_handler(Note, Handler())
        return mediator

    return {
        "send": (build(1).send_async, Req(1)),
        "publish to one": (build(1).publish_async, Note(1)),
        "publish to three, in turn": (build(3).publish_async, Note(1)),
    }


def mediary() -> Operations:
    md: Any = import_module("mediary")

    @md.notification
    class Note:
        pass

    async def on_note(note: Any) -> None:
        return None

    mediator = md.Mediator()
    mediator.register(Note, on_note)
    return {"publish to one": (mediator.publish, Note())}


def diator() -> Operations:
    requests: Any = import_module("diator.requests")
    mediator: Any = import_module("diator.mediator").Mediator
    response: Any = import_module("diator.response").Response

    @dataclass(frozen=True, kw_only=True)
    class Req(requests.Request):
        n: int

    @dataclass(frozen=True, kw_only=True)
    class Result(response):
        n: int

    result = Result(n=1)

    class Handler(requests.RequestHandler):
        @property
        def events(self) -> list[object]:
            return []

        async def handle(self, request: Any) -> Any:
            return result

    bound = requests.RequestMap()
    bound.bind(Req, Handler)
    return {"send": (mediator(bound, NewEachTime()).send, Req(n=1))}


def blinker() -> Operations:
    bl: Any = import_module("blinker")

    def build(handlers: int) -> Any:
        signal = bl.Signal()
        for _ in range(handlers):

            async def on_note(sender: object) -> None:
                return None

            signal.connect(on_note, weak=False)
        return signal.send_async

    return {
        "publish to one": (build(1), NewEachTime()),
        "publish to three, in turn": (build(3), NewEachTime()),
    }


PEERS: dict[str, Callable[[], Operations]] = {
    "mediatorx": mediatorx,
    "mediatr": mediatr,
    "py-mediatr": py_mediatr,
    "mediary": mediary,
    "diator": diator,
    "blinker": blinker,
}
