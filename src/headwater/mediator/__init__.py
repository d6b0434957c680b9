"""The mediator: requests to their one handler, messages to all who hear them.

`Handlers` is the table to register in, `Mediator` what dispatches by it.
"""

from headwater.mediator.chains import Next
from headwater.mediator.dispatch import Unheard
from headwater.mediator.handlers import Handlers
from headwater.mediator.injection import Resolver
from headwater.mediator.limits import Limits
from headwater.mediator.marks import behaves, handles, hears
from headwater.mediator.mediator import Mediator
from headwater.mediator.registrations import Stage, Strategy
from headwater.mediator.sending import Publisher, Receipt, Sender
from headwater.mediator.streaming import Stream

__all__ = [
    "Handlers",
    "Limits",
    "Mediator",
    "Next",
    "Publisher",
    "Receipt",
    "Resolver",
    "Sender",
    "Stage",
    "Strategy",
    "Stream",
    "Unheard",
    "behaves",
    "handles",
    "hears",
]
