"""Keys in memory, and a ledger there: for tests and trials; they are gone with the process."""

from collections.abc import Collection, Mapping, Sequence

from headwater.errors import KeyStoreError
from headwater.ports.key_store import Forgotten, WrappedKey


class MemoryKeyStore:
    """Keeps keys in a dict."""

    def __init__(self) -> None:
        self._keys: dict[str, WrappedKey] = {}
        self._forgotten: dict[str, Forgotten] = {}
        self._open = False

    def __repr__(self) -> str:
        return "MemoryKeyStore()"

    async def open(self) -> None:
        """Be usable from now on."""
        self._open = True

    async def close(self) -> None:
        """Be unusable until `open`; the keys stay."""
        self._open = False

    async def get(self, subjects: Collection[str]) -> Mapping[str, WrappedKey]:
        """As `KeyStore.get`."""
        self._check_open()
        return {subject: self._keys[subject] for subject in subjects if subject in self._keys}

    async def add(self, keys: Sequence[WrappedKey]) -> Mapping[str, WrappedKey]:
        """As `KeyStore.add`."""
        self._check_open()
        return {key.subject: self._keys.setdefault(key.subject, key) for key in keys}

    async def destroy(self, forgotten: Sequence[Forgotten]) -> int:
        """As `KeyStore.destroy`."""
        self._check_open()
        destroyed = 0
        for entry in forgotten:
            if entry.subject not in self._forgotten:
                destroyed += 1
                self._forgotten[entry.subject] = entry
                self._keys[entry.subject] = WrappedKey(entry.subject, "", None)
        return destroyed

    async def forgotten(self) -> Sequence[Forgotten]:
        """As `KeyStore.forgotten`."""
        self._check_open()
        return sorted(self._forgotten.values(), key=lambda entry: (entry.at, entry.subject))

    async def outdated(self, master: str, *, after: str, limit: int) -> Sequence[WrappedKey]:
        """As `Rewrapping.outdated`."""
        self._check_open()
        found = [
            key
            for key in self._keys.values()
            if key.wrapped is not None and key.master != master and key.subject > after
        ]
        return sorted(found, key=lambda key: key.subject)[:limit]

    async def rewrap(self, keys: Sequence[tuple[WrappedKey, WrappedKey]]) -> int:
        """As `Rewrapping.rewrap`."""
        self._check_open()
        replaced = 0
        for former, current in keys:
            if self._keys.get(former.subject) == former:
                self._keys[former.subject] = current
                replaced += 1
        return replaced

    def _check_open(self) -> None:
        if not self._open:
            raise KeyStoreError("The key store is not open.")


class MemoryLedger:
    """Keeps the lines in a list."""

    def __init__(self) -> None:
        self._entries: list[Forgotten] = []

    async def entries(self) -> Sequence[Forgotten]:
        """As `Ledger.entries`."""
        return tuple(self._entries)

    async def add(self, entries: Sequence[Forgotten]) -> None:
        """As `Ledger.add`."""
        self._entries += entries
