"""Exit codes, which error gives which, and what of a text must not be shown."""

import re
from enum import IntEnum
from typing import Final

from headwater.errors import (
    ConfigurationError,
    DeadlineExceededError,
    HeadwaterError,
    OutcomeUnknownError,
    StorageBusyError,
    StorageUnavailableError,
    WaitTimeoutError,
)


class ExitCode(IntEnum):
    """What a command's exit code says.

    FOUND: it did what it should, and found something. USAGE: it was called or set up wrongly.
    REFUSED: what was asked for can't be, or was not confirmed; nothing was done, or only what
    the message says. TIMED_OUT: something did not come in time; ask again. FAILED: an error of
    the program itself. INTERRUPTED: Ctrl-C.
    """

    OK = 0
    FOUND = 1
    USAGE = 2
    REFUSED = 3
    TIMED_OUT = 4
    FAILED = 70
    INTERRUPTED = 130


TIMED_OUT: Final = (
    DeadlineExceededError,
    OutcomeUnknownError,
    StorageBusyError,
    StorageUnavailableError,
    TimeoutError,
    WaitTimeoutError,
)

_PASSWORD: Final = re.compile(r"(?<=://)([^\s/:@]*):[^\s/]*@")
_PARAMETER: Final = re.compile(r"(?i)((?:password|passwd|secret|token|key)=)[^&\s'\"]+")


def code_of(error: BaseException) -> ExitCode:
    """Return the exit code for *error*."""
    if isinstance(error, TIMED_OUT):
        return ExitCode.TIMED_OUT
    if isinstance(error, ConfigurationError | OSError):
        return ExitCode.USAGE
    if isinstance(error, HeadwaterError):
        return ExitCode.REFUSED
    return ExitCode.FAILED


def masked(text: str) -> str:
    """Return *text* without the passwords of URLs in it."""
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))
