"""Tables of handlers that note what they hear."""

from headwater.mediator import Handlers
from tests.mediator.shop import (
    OrderPlaced,
)


def listening(*names: str, fails: tuple[str, ...] = ()) -> tuple[Handlers, list[str]]:
    """Return a table of handlers that note their names, and fail if they are to."""
    heard: list[str] = []
    table = Handlers()
    for name in names:

        async def listener(event: OrderPlaced, name: str = name) -> None:
            heard.append(name)
            if name in fails:
                raise ValueError(name)

        table.on(listener)
    return table, heard
