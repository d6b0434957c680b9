"""How a subscription's task is kept apart from the message in whose handling it was started."""

from contextvars import Context, copy_context

from headwater.metadata import CURRENT_CONTEXT
from headwater.unit_of_work.unit import CURRENT_UNIT


def context_of_no_message() -> Context:
    """Return the current context variables without the message that is handled here, if one is.

    Its deadline, its actor and its unit of work are not those of what comes out of the log.
    """
    context = copy_context()
    context.run(CURRENT_CONTEXT.set, None)
    context.run(CURRENT_UNIT.set, None)
    return context
