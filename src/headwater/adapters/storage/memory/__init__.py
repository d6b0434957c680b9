"""A storage in this process's memory: for tests, and for what may be forgotten."""

from headwater.adapters.storage.memory.storage import MemoryStorage

__all__ = ["MemoryStorage"]
