"""Identifiers: time-ordered for new things, derived for repeatable ones."""

import os
import threading
import time
from hashlib import blake2b
from uuid import UUID

_VERSION_AND_VARIANT_CLEARED = ~((0xF << 76) | (0x3 << 62)) & ((1 << 128) - 1)
_VERSION_7 = (7 << 76) | (2 << 62)
_RANDOM_BATCH = 256
_RANDOM_BYTES = 8


class IdGenerator:
    """Makes UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then a counter, then chance.

    Ids of one generator rise strictly, also within a millisecond and when the wall clock
    falls back. Safe to call from several threads; a forked child draws its own randomness.
    """

    __slots__ = ("_last", "_lock", "_pid", "_pool", "_used")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._pool = b""
        self._used = 0
        self._pid = 0

    def __call__(self) -> UUID:
        """Return a new id."""
        with self._lock:
            if self._used >= len(self._pool) or self._pid != os.getpid():
                self._pool = os.urandom(_RANDOM_BYTES * _RANDOM_BATCH)
                self._used = 0
                self._pid = os.getpid()
            chance = int.from_bytes(self._pool[self._used : self._used + _RANDOM_BYTES], "big")
            self._used += _RANDOM_BYTES
            # 60 bits: milliseconds and the 12-bit counter that follows the version nibble.
            tick = max((time.time_ns() // 1_000_000) << 12, self._last + 1)
            self._last = tick
        milliseconds, counter = tick >> 12, tick & 0xFFF
        return UUID(
            int=(milliseconds << 80)
            | (7 << 76)
            | (counter << 64)
            | (2 << 62)
            | (chance & ((1 << 62) - 1))
        )


new_id = IdGenerator()


def derived_id(cause: UUID, consumer: str, message_type: str, key: str | int) -> UUID:
    """Return the id of what *consumer* makes out of *cause*: the same inputs, the same id.

    *key* tells apart several messages of one type (a natural key, or the ordinal within the
    type). The first 48 bits are the cause's, so that an index on ids grows at its right edge;
    the rest is a BLAKE2b hash of all four, in UUIDv7 layout (DESIGN, guarantee 6).
    """
    parts = (str(cause), consumer, message_type, f"{type(key).__name__}:{key}")
    text = "".join(f"{len(part)}:{part}" for part in parts)
    hashed = int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")
    time_prefix = cause.int >> 80 << 80
    rest = hashed & ((1 << 80) - 1) & _VERSION_AND_VARIANT_CLEARED
    return UUID(int=time_prefix | rest | _VERSION_7)
