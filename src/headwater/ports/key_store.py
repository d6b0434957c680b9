"""Where the keys of personal data are kept, how they are wrapped, and who was forgotten."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec


class WrappedKey(msgspec.Struct, frozen=True):
    """The key of one subject, encrypted by the master key that `master` names.

    `wrapped` is None once the subject was forgotten: the key is gone, for ever.
    """

    subject: str
    master: str
    wrapped: bytes | None


class Forgotten(msgspec.Struct, frozen=True):
    """One line of the ledger: who was forgotten, when (microseconds since 1970 UTC), by whom
    and why."""

    subject: str
    at: int
    by: str = ""
    why: str = ""


class Forgetting(msgspec.Struct, frozen=True):
    """What came of forgetting somebody: the line of the ledger, and whether there was a key.

    Without one, nothing was ever stored of the subject, or it was forgotten before.
    """

    line: Forgotten
    had_key: bool


class Rewrapping(Protocol):
    """What a change of the master key asks of a key store."""

    async def outdated(self, master: str, *, after: str, limit: int) -> Sequence[WrappedKey]:
        """Return keys wrapped by another master key than *master*, whose subject sorts after
        *after*, by subject (in any order that is always the same); at most *limit*, none of
        them destroyed.
        """
        ...

    async def rewrap(self, keys: Sequence[tuple[WrappedKey, WrappedKey]]) -> int:
        """Replace each first key by the second, where the first is still what is stored.

        One that was destroyed or replaced meanwhile stays as it is. Returns how many were
        replaced.
        """
        ...


class KeyStore(Rewrapping, Protocol):
    """Keeps a wrapped key per subject, and who was forgotten. Kept apart from the storage.

    What a method has returned is durable. Several processes may work on one store. Usable from
    one event loop; `open` and `close` may be called more than once.

    All methods raise `KeyStoreUnavailableError` where trying again may help, and `KeyStoreError`
    where it does not, also before `open` and after `close`.
    """

    async def open(self) -> None:
        """Connect, and make what the keys are kept in."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...

    async def get(self, subjects: Collection[str]) -> Mapping[str, WrappedKey]:
        """Return the keys of *subjects*, destroyed ones with None; unknown subjects are missing."""
        ...

    async def add(self, keys: Sequence[WrappedKey]) -> Mapping[str, WrappedKey]:
        """Store *keys* where their subject has none; return what is stored now for each.

        Of two who add a key for one subject at once, one is first, and both are told its key.
        A destroyed key stays destroyed.
        """
        ...

    async def destroy(self, forgotten: Sequence[Forgotten]) -> int:
        """Destroy the keys of these subjects, whether they had one or not, and note who they are.

        The bytes of the keys are overwritten as far as the store can see to that. Returns how
        many had not been destroyed before; of those that had, the first note stays.
        """
        ...

    async def forgotten(self) -> Sequence[Forgotten]:
        """Return the notes of all whose keys were destroyed, in the order of their time."""
        ...


class Ledger(Protocol):
    """Who was forgotten, kept apart from the key store, so that neither's loss forgets it."""

    async def entries(self) -> Sequence[Forgotten]:
        """Return all lines, in the order in which they were added.

        Raises:
            KeyStoreError: the ledger can't be read, or is damaged.
        """
        ...

    async def add(self, entries: Sequence[Forgotten]) -> None:
        """Add lines; they are durable when it returns.

        Raises:
            KeyStoreError: the ledger can't be written.
        """
        ...


class KeyWrapper(Protocol):
    """Encrypts and decrypts the keys of subjects by master keys: `MasterKeys`, or your KMS.

    Raises `KeyStoreUnavailableError` where trying again may help, else `KeyStoreError`.
    """

    @property
    def master(self) -> str:
        """The name of the master key that new keys are wrapped by; at most 100 characters."""
        ...

    async def wrap(self, keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return the keys, by subject, encrypted by the master key that `master` names."""
        ...

    async def unwrap(self, master: str, wrapped: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return the keys, by subject, decrypted by the master key named *master*."""
        ...
