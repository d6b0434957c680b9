"""How much is committed at once."""

from typing import Final

GROUP_COMMITS_MAX: Final = 512
"""The most commits that share one transaction."""

GROUP_SIZE_MAX: Final = 2_000
"""A transaction takes no more commits once it has so many events and rows, so that other
processes get their turn at the log soon."""

EACH_COMMITS_MIN: Final = 8
"""So many commits are tried one by one after one that was not as expected; then twice as many
each time that it happens again in one group."""

GROUP_BYTES_MAX: Final = 8 * 1024 * 1024
"""A transaction takes no commit more that would bring it above so many bytes of data, headers,
row data and outcomes. One that is larger goes alone."""

COMMIT_BYTES_MAX: Final = 64 * 1024 * 1024
"""The most bytes of data, headers, row data and outcomes of one commit. One message to the server
can't be longer than 1 GiB, and one by one it takes the server half a minute to take that apart."""

TRIES_MAX: Final = 3
"""How often a commit is tried by itself that others were in the way of."""

LOCK_WAITS_MAX: Final = 2
"""How many times `PostgresSettings.lock_seconds` all commits of a group together wait for locks
of others."""

LOG_LOCK_MS_MIN: Final = 250
"""How long a commit that needs the log waits for a lock at least, even if its group has waited for
as long as it may: turns of other processes at the log are no reason to give up."""

LOCK_MS_MIN: Final = 50
"""The same for a commit that does without the log: others held on to something, though perhaps not
to what this one needs."""
