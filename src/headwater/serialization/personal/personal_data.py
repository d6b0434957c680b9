"""Personal data: keys per person, forgetting a person, and changing the master key."""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from headwater.clock import Clock, SystemClock, microseconds_since_epoch
from headwater.errors import ConfigurationError, KeyStoreMismatchError
from headwater.metadata import current_context
from headwater.ports.key_store import Forgetting, Forgotten, KeyStore, KeyWrapper, Ledger
from headwater.ports.storage import Storage
from headwater.serialization.personal.binding import (
    Binding,
    check_same,
    note_binding,
    noted_binding,
    subjects_in,
)
from headwater.serialization.personal.cipher import require_cryptography
from headwater.serialization.personal.ring import KEY_RING_KEYS_MAX, KEY_RING_SECONDS, KeyRing
from headwater.serialization.personal.rotation import rotated
from headwater.serialization.personal.sealed_storage import SealedStorage, as_stored
from headwater.serialization.personal.sealing import Sealing
from headwater.serialization.personal.takes import checked_subject

DIGEST_SUBJECT: Final = "$digests"
"""The reserved subject whose key goes into the digests of messages with personal fields."""

OnForgotten = Callable[[Collection[str]], None]


class PersonalData:
    """The keys that personal fields are encrypted with, one per subject.

    Give it to an `App` or `EventStore` as *personal_data*. They open and close it; on its own,
    to forget somebody from a script, it is used as ``async with``.
    """

    def __init__(
        self,
        keys: KeyStore,
        *,
        wrapper: KeyWrapper,
        ledger: Ledger,
        clock: Clock | None = None,
        ring_seconds: float = KEY_RING_SECONDS,
        ring_keys_max: int = KEY_RING_KEYS_MAX,
    ) -> None:
        """Keep keys in *keys*, wrapped by *wrapper*, and who was forgotten in *ledger* too.

        A key is held in memory for *ring_seconds*, and at most *ring_keys_max* are.

        Raises:
            MissingExtraError: `cryptography` is not installed.
            ConfigurationError: a number is out of its range.
        """
        require_cryptography()
        if ring_seconds <= 0 or ring_keys_max < 1:
            raise ConfigurationError("ring_seconds is above 0, ring_keys_max is 1 or more.")
        self._store, self._wrapper, self._ledger = keys, wrapper, ledger
        self._clock = clock or SystemClock()
        self._ring = KeyRing(
            keys, wrapper, clock=self._clock, seconds=ring_seconds, keys_max=ring_keys_max
        )
        self._sealing = Sealing(self._ring)
        self._digest_key: bytes | None = None
        self._binding: Binding | None = None
        self._listeners: list[OnForgotten] = []
        self._under_way: set[asyncio.Task[Forgetting]] = set()
        self._forgetting, self._opening = asyncio.Lock(), asyncio.Lock()
        self._open_for = 0

    # --------------------------------------------------------------------- open and close

    async def open(self, *, beside: Collection[Storage] = ()) -> None:
        """Open the key store, check the open storages *beside* it, and apply the ledger.

        The ledger comes last (see `reapply`): it must not go to a key store of somebody else.

        Raises:
            KeyStoreMismatchError: a storage is written with other keys (see `check`).
            KeyStoreError: key store or ledger can't be used.
        """
        async with self._opening:
            try:
                if not self._open_for:
                    await self._open()
                for storage in beside:
                    await self.check(storage)
                if not self._open_for:
                    await self.reapply()
            except BaseException:
                if not self._open_for:
                    await self._close()
                raise
            self._open_for += 1

    async def _open(self) -> None:
        await self._store.open()
        own = await self._ring.key(DIGEST_SUBJECT)
        self._digest_key = own.derived(b"digest")
        self._binding = Binding(own.name, repr(self._store))

    async def close(self) -> None:
        """Let go of the key store and of all keys in memory, once all who opened it did."""
        async with self._opening, self._forgetting:
            self._open_for = max(0, self._open_for - 1)
            if not self._open_for:
                await self._close()

    async def _close(self) -> None:
        self._digest_key = self._binding = None
        self._ring.clear()
        await self._store.close()

    async def __aenter__(self) -> "PersonalData":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --------------------------------------------------------------------- which storage

    async def check(self, storage: Storage) -> None:
        """Pass if *storage* can be one that is written with these keys; both are open.

        It notes with which when something personal is first written to it. Where nothing is
        noted, the key store must have a key for somebody of whom something stands among its
        first and last events. Nothing is written.

        Raises:
            KeyStoreMismatchError: it is written with the keys of another key store.
            KeyStoreError: the key store can't be asked.
            StorageError: the storage can't be read.
        """
        noted = await noted_binding(as_stored(storage))
        if noted is not None:
            check_same(noted, self._bound())
            if isinstance(storage, SealedStorage):
                storage.found_bound()
            return
        subjects = await subjects_in(as_stored(storage))
        known = await self._store.get(subjects)
        strangers = subjects - known.keys()
        if strangers and all(key.wrapped is None for key in known.values()):
            problem = f"it has a key for none of those in the log, such as {min(strangers)!r}"
            raise KeyStoreMismatchError(self._bound().where, bound_to="another", problem=problem)

    async def adopt(self, storage: Storage) -> Binding | None:
        """Note in *storage* that it is written with these keys from now on; return what it noted.

        For when the former key store is lost for good. What was written with that can't be read:
        it is an error still, until its subjects are forgotten.

        Raises:
            StorageError: the storage can't be used.
        """
        former = await noted_binding(as_stored(storage))
        await note_binding(as_stored(storage), self._bound(), anew=True)
        return former

    async def _bind(self, storage: Storage) -> None:
        own = self._bound()
        check_same(await note_binding(storage, own, anew=False), own)

    def _bound(self) -> Binding:
        if self._binding is None:
            raise ConfigurationError("PersonalData is not open. Use it as 'async with'.")
        return self._binding

    # ------------------------------------------------------------------------- forgetting

    async def forget(self, subject: str, *, why: str = "", by: str | None = None) -> Forgetting:
        """Destroy the key of *subject*, so that nothing personal of it can be read any more.

        This process follows at once, others within their `ring_seconds`. The line that goes into
        the ledger says *why*, and *by* whom: the current context's actor, unless it is given. To
        forget a subject again changes nothing and returns the first line. One that nothing was
        ever stored of, a mistyped one perhaps, is forgotten too: `Forgetting.had_key` tells.

        Raises:
            KeyStoreError: ledger or key store can't be written. If the ledger was, the key is
                destroyed when the key store is next opened.
            SerializationError: *subject* can't be a subject's id.
        """
        if checked_subject(subject) == DIGEST_SUBJECT:
            raise ConfigurationError(f"{DIGEST_SUBJECT!r} is no subject that can be forgotten.")
        # Who is cancelled between the ledger and the key would leave the key until the next start.
        task = asyncio.create_task(self._forget(subject, why=why, by=by))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _forget(self, subject: str, *, why: str, by: str | None) -> Forgetting:
        async with self._forgetting:
            for known in await self._ledger.entries():
                if known.subject == subject:
                    return Forgetting(known, had_key=await self._destroy_one(known))
            context = current_context()
            actor = context.actor if context is not None else None
            now = microseconds_since_epoch(self._clock.now())
            forgotten = Forgotten(subject, now, (actor or "") if by is None else by, why)
            # The ledger first: what it holds is made good at the next start, whatever happens.
            await self._ledger.add((forgotten,))
            return Forgetting(forgotten, had_key=await self._destroy_one(forgotten))

    async def forgotten(self) -> tuple[Forgotten, ...]:
        """Return the ledger: who was forgotten, when, by whom and why."""
        return tuple(await self._ledger.entries())

    async def reapply(self) -> int:
        """Make key store and ledger agree; return how many keys were destroyed.

        A key store that was restored from a backup has keys again that were destroyed since;
        the ledger knows whose. A ledger that was lost is written anew from the key store.
        Whoever opens `PersonalData` does this first.

        Raises:
            KeyStoreError: ledger or key store can't be read or written.
        """
        entries = await self._ledger.entries()
        noted = await self._store.forgotten()
        subjects = {entry.subject for entry in noted}
        restored = [entry for entry in entries if entry.subject not in subjects]
        destroyed = await self._destroy(restored) if restored else 0
        subjects = {entry.subject for entry in entries}
        missing = [entry for entry in noted if entry.subject not in subjects]
        if missing:
            await self._ledger.add(missing)
        return destroyed

    async def forgotten_among(
        self, subjects: Collection[str], *, create: bool = False
    ) -> frozenset[str]:
        """Return which of *subjects* were forgotten, as far as this process knows.

        What was forgotten elsewhere is known within `ring_seconds`. For whoever keeps what was
        read; see `subjects_read`. With *create* who never had a key gets one, as by storing.

        Raises:
            KeyStoreError: the key store can't be asked, or never knew one of them.
        """
        keys = await self._ring.keys(subjects, create=create)
        return frozenset(subject for subject, key in keys.items() if key is None)

    def on_forgotten(self, listener: OnForgotten) -> Callable[[], None]:
        """Call *listener* with who is forgotten here, until what is returned is called."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    async def _destroy_one(self, forgotten: Forgotten) -> bool:
        key = (await self._store.get((forgotten.subject,))).get(forgotten.subject)
        await self._destroy((forgotten,))
        return key is not None and key.wrapped is not None

    async def _destroy(self, forgotten: Collection[Forgotten]) -> int:
        destroyed = await self._store.destroy(tuple(forgotten))
        subjects = [entry.subject for entry in forgotten]
        self._ring.forget(subjects)
        for listener in tuple(self._listeners):
            listener(subjects)
        return destroyed

    # ------------------------------------------------------------------- changing the master

    async def rotate(self, *, progress: Callable[[int], None] | None = None) -> int:
        """Wrap all keys by the current master key that others had wrapped; return how many.

        Nothing that is stored elsewhere is touched, and everything can go on meanwhile. If it is
        cut off, call it again: it goes on where it was. When it returns 0 and every process has
        the new master key, the old one can be thrown away. *progress* hears the number so far.

        Raises:
            KeyStoreError: the key store can't be used, or a master key is missing.
        """
        return await rotated(self._store, self._wrapper, progress=progress)

    # ----------------------------------------------------------------- for stores and codecs

    def around(self, storage: Storage) -> SealedStorage:
        """Return *storage* with everything personal encrypted on its way in.

        It does not open this; a storage that was wrapped already stays as it is.
        """
        if isinstance(storage, SealedStorage):
            return storage
        return SealedStorage(storage, self._sealing, bind=self._bind)

    @property
    def digest_key(self) -> bytes:
        """What digests of messages with personal fields are keyed by.

        Raises:
            ConfigurationError: it is not open.
        """
        if self._digest_key is None:
            raise ConfigurationError("PersonalData is not open. Use it as 'async with'.")
        return self._digest_key
