"""Identifiers: time-ordered for new things, derived for repeatable ones."""

import os
import threading
import time
from hashlib import blake2b
from struct import unpack
from uuid import UUID

_VERSION_AND_VARIANT_CLEARED = ~((0xF << 76) | (0x3 << 62)) & ((1 << 128) - 1)
_VERSION_7 = (7 << 76) | (2 << 62)
_RANDOM_BATCH = 256
_RANDOM_BYTES = 8
_CHANCE = f">{_RANDOM_BATCH}Q"
_CHANCE_BITS = (1 << 62) - 1


class IdGenerator:
    """Makes UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then a counter, then chance.

    Ids of one generator rise strictly, also within a millisecond and when the wall clock
    falls back. Safe to call from several threads; a forked child draws its own randomness.
    """

    __slots__ = ("_last", "_lock", "_pid", "_pool")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._pool: list[int] = []
        self._pid = 0

    def __call__(self) -> UUID:
        """Return a new id."""
        return UUID(int=self._next())

    def as_bytes(self) -> bytes:
        """Return a new id as 16 bytes; making a `UUID` costs as much as the rest of it."""
        return self._next().to_bytes(16, "big")

    def _next(self) -> int:
        with self._lock:
            if not self._pool or self._pid != os.getpid():
                self._pool = list(unpack(_CHANCE, os.urandom(_RANDOM_BYTES * _RANDOM_BATCH)))
                self._pid = os.getpid()
            chance = self._pool.pop()
            # 60 bits: milliseconds and the 12-bit counter that follows the version nibble.
            tick = (time.time_ns() // 1_000_000) << 12
            if tick <= self._last:
                tick = self._last + 1
            self._last = tick
        return ((tick >> 12) << 80) | _VERSION_7 | ((tick & 0xFFF) << 64) | (chance & _CHANCE_BITS)


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
