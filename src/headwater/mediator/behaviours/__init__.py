"""Behaviours that come with the library. Each is registered like one's own::

    table.behaviour(SlowHandlerLog(threshold=0.5))

Their `order` is below 0: they stand outside of the unit of work, exceptions outermost.
"""

from headwater.mediator.behaviours.authorization import Authorization
from headwater.mediator.behaviours.deadline import Deadline
from headwater.mediator.behaviours.exception_mapping import ExceptionMapping
from headwater.mediator.behaviours.query_cache import QueryCache
from headwater.mediator.behaviours.slow_handler_log import SlowHandlerLog
from headwater.mediator.behaviours.validation import Validation

__all__ = [
    "Authorization",
    "Deadline",
    "ExceptionMapping",
    "QueryCache",
    "SlowHandlerLog",
    "Validation",
]
