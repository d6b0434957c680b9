"""Whose fault an error is: an event's, another worker's, or that of a server that is away."""

from typing import Final

from headwater.errors import (
    DuplicateValueError,
    IdempotencyConflictError,
    InlineVersionError,
    KeyStoreError,
    KeyStoreUnavailableError,
    OutcomeUnknownError,
    RowFormError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)

PASSING: Final = (
    InlineVersionError,
    KeyStoreUnavailableError,
    OutcomeUnknownError,
    RowFormError,
    StorageBusyError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)
"""What may pass by itself, and is no event's fault: a server is away, another takes over, or a
release is not switched to yet."""


def lies_in_an_event(error: BaseException) -> bool:
    """Return whether a commit was refused for what a handler wanted to write, not by chance."""
    if isinstance(error, DuplicateValueError | IdempotencyConflictError):
        return True
    return isinstance(error, Exception) and not isinstance(error, StorageError | KeyStoreError)
