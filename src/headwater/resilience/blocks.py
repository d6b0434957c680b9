"""What a policy remembers between the beginning and the end of an ``async with`` block.

One policy object is entered by many tasks at once, and by one task within itself, so its state
per block stands in the context of the task. `leave` looks for the innermost block of its owner:
an async generator may leave its block while a later one is open.
"""

from contextvars import ContextVar
from typing import Any, Final

from headwater.errors import ConfigurationError

_entered: Final[ContextVar[tuple[tuple[object, Any], ...]]] = ContextVar(
    "headwater_blocks", default=()
)


def enter(owner: object, state: object) -> None:
    """Remember *state* for the block of *owner* that begins."""
    _entered.set((*_entered.get(), (owner, state)))


def leave(owner: object) -> Any:
    """Return, and forget, the state of the innermost block of *owner*.

    Raises:
        ConfigurationError: this context has entered none.
    """
    blocks = _entered.get()
    if blocks and blocks[-1][0] is owner:
        _entered.set(blocks[:-1])
        return blocks[-1][1]
    for place in reversed(range(len(blocks))):
        if blocks[place][0] is owner:
            _entered.set(blocks[:place] + blocks[place + 1 :])
            return blocks[place][1]
    raise ConfigurationError(
        f"A block of {type(owner).__name__} ends in a context that has not begun it. Leave an "
        f"'async with' in the task that entered it."
    )
