"""Finds ids that stand twice, with 8 bytes of memory per id."""

from array import array
from collections.abc import Iterator
from hashlib import blake2b


class IdCheck:
    """Takes ids; says afterwards which may have come twice.

    It remembers 64 bits of a hash of each, in 256 heaps, of which one at a time is made a set. Two
    different ids among a hundred million have the same 64 bits once in some 3,700 logs, so
    `suspects` are looked at again by `is_suspect`.
    """

    def __init__(self) -> None:
        self._heaps = [array("Q") for _ in range(256)]
        self._suspects: frozenset[int] = frozenset()

    def add(self, id: bytes) -> None:
        """Remember *id*."""
        hashed = _hashed(id)
        self._heaps[hashed & 0xFF].append(hashed)

    def find(self) -> bool:
        """Return whether some may have come twice; what was remembered is let go."""
        self._suspects = frozenset(self._repeated())
        self._heaps = []
        return bool(self._suspects)

    def is_suspect(self, id: bytes) -> bool:
        """Return whether *id* is one of those that may have come twice."""
        return _hashed(id) in self._suspects

    def _repeated(self) -> Iterator[int]:
        for heap in self._heaps:
            seen: set[int] = set()
            for hashed in heap:
                if hashed in seen:
                    yield hashed
                seen.add(hashed)


def _hashed(id: bytes) -> int:
    return int.from_bytes(blake2b(id, digest_size=8).digest(), "big")
