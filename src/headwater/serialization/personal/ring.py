"""The key ring: the keys that a process holds in memory, for a short while."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from headwater.clock import Clock
from headwater.errors import KeyStoreError
from headwater.ports.key_store import KeyStore, KeyWrapper, WrappedKey
from headwater.serialization.personal.cipher import DataKey, new_key

KEY_RING_SECONDS: Final = 60.0
"""How long a key is held. So long another process may go on reading what was forgotten here."""

KEY_RING_KEYS_MAX: Final = 10_000
"""How many keys are held; the one that was not used for longest goes first."""

Keys = Mapping[str, DataKey | None]
"""Keys by subject; None where the subject was forgotten."""


class KeyRing:
    """Gives keys by subject, from memory where it can."""

    def __init__(
        self,
        store: KeyStore,
        wrapper: KeyWrapper,
        *,
        clock: Clock,
        seconds: float = KEY_RING_SECONDS,
        keys_max: int = KEY_RING_KEYS_MAX,
    ) -> None:
        self._store, self._wrapper = store, wrapper
        self._clock, self._seconds, self._keys_max = clock, seconds, keys_max
        self._held: OrderedDict[str, tuple[float, DataKey | None]] = OrderedDict()
        self._next: _Load | None = None
        self._turn = asyncio.Lock()

    async def keys(self, subjects: Iterable[str], *, create: bool) -> Keys:
        """Return the keys of *subjects*, None for those who were forgotten.

        With *create* a subject that has no key gets one; without, it is an error.

        Raises:
            KeyStoreUnavailableError: the key store can't be asked now.
            KeyStoreError: it can't be asked at all, or has no key for one of *subjects*.
        """
        now = self._clock.monotonic()
        found: dict[str, DataKey | None] = {}
        wanted: list[str] = []
        for subject in subjects:
            held = self._held.get(subject)
            if held is None or held[0] <= now:
                wanted.append(subject)
            else:
                self._held.move_to_end(subject)
                found[subject] = held[1]
        if wanted:
            loaded = await self._load(wanted, create=create)
            missing = [subject for subject in wanted if subject not in loaded]
            if missing:
                raise KeyStoreError(
                    f"The key store has no key for subject {missing[0]!r}, and does not say that "
                    f"it was forgotten: it is not the one that the data was written with. Restore "
                    f"the right one from a backup."
                )
            found.update((subject, loaded[subject]) for subject in wanted)
        return found

    async def key(self, subject: str) -> DataKey:
        """Return the key of *subject*, which gets one if it has none.

        Raises:
            KeyStoreError: as `keys`, or *subject* was forgotten.
        """
        found = (await self.keys((subject,), create=True))[subject]
        if found is None:
            raise KeyStoreError(f"The key store says that {subject!r} was forgotten.")
        return found

    def forget(self, subjects: Collection[str]) -> None:
        """Let go of the keys of *subjects*, who were forgotten, for good."""
        for subject in subjects:
            self._held[subject] = (math.inf, None)
            self._held.move_to_end(subject)
        self._shorten()

    def clear(self) -> None:
        """Let go of all keys."""
        self._held.clear()

    async def _load(self, subjects: Collection[str], *, create: bool) -> Keys:
        # Those who ask while the store is being asked are answered together by its next answer.
        load = self._next
        if load is None or load.is_over:
            load = self._next = _Load(self)
        load.want(subjects, create=create)
        return await load.done()

    async def load_now(self, load: "_Load") -> Keys:
        """Ask the store for what *load* has gathered by the time it is its turn."""
        async with self._turn:
            self._next = None
            keys = await self._ask(load.wanted)
            until = self._clock.monotonic() + self._seconds
            for subject, key in keys.items():
                held = self._held.get(subject)
                if held is not None and held[1] is None:
                    # Forgotten in this process while the store was being asked.
                    keys[subject] = None
                else:
                    self._held[subject] = (until if key is not None else math.inf, key)
                self._held.move_to_end(subject)
            self._shorten()
            return keys

    async def _ask(self, wanted: Mapping[str, bool]) -> dict[str, DataKey | None]:
        stored = dict(await self._store.get(tuple(wanted)))
        new = {s: new_key() for s, create in wanted.items() if create and s not in stored}
        if new:
            master = self._wrapper.master
            wrapped = await self._wrapper.wrap(new)
            stored |= await self._store.add([WrappedKey(s, master, wrapped[s]) for s in new])
        return await self._unwrapped(stored)

    async def _unwrapped(self, stored: Mapping[str, WrappedKey]) -> dict[str, DataKey | None]:
        keys: dict[str, DataKey | None] = dict.fromkeys(stored)
        by_master: dict[str, dict[str, bytes]] = {}
        for subject, key in stored.items():
            if key.wrapped is not None:
                by_master.setdefault(key.master, {})[subject] = key.wrapped
        for master, wrapped in by_master.items():
            for subject, secret in (await self._wrapper.unwrap(master, wrapped)).items():
                keys[subject] = DataKey(secret)
        return keys

    def _shorten(self) -> None:
        while len(self._held) > self._keys_max:
            self._held.popitem(last=False)


class _Load:
    """One question to the key store, for all who wait for its answer."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self.wanted: dict[str, bool] = {}
        self._task: asyncio.Task[Keys] | None = None

    def want(self, subjects: Collection[str], *, create: bool) -> None:
        """Ask for *subjects*, too."""
        for subject in subjects:
            self.wanted[subject] = create or self.wanted.get(subject, False)

    @property
    def is_over(self) -> bool:
        """Whether no answer comes any more, because the event loop it was asked in has ended."""
        return self._task is not None and self._task.done()

    async def done(self) -> Keys:
        """Return the answer; whoever is cancelled meanwhile leaves it to the others."""
        if self._task is None:
            self._task = asyncio.create_task(self._ring.load_now(self))
            # If all who wait were cancelled, nobody else looks at what went wrong.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._task)
