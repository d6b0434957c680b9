"""The keys themselves: what encrypts personal parts, and what encrypts the keys.

AES-256-GCM throughout (NIST SP 800-38D). A part's nonce is the start of an HMAC over the part and
its place, as in RFC 5297's synthetic initialization vectors: the same part at the same place of
the same event gives the same text, so an append that comes again is known as a repetition; no two
others share a nonce, and equal parts of two events don't look equal.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from headwater.errors import (
    ConfigurationError,
    KeyStoreError,
    MissingExtraError,
    SerializationError,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_NAME_BYTES: Final = 6
_USED_FOR: Final = b"headwater personal data 1 "


def new_key() -> bytes:
    """Return a key, by chance."""
    return secrets.token_bytes(KEY_BYTES)


def require_cryptography() -> None:
    """Raise `MissingExtraError` if the package that encrypts is not installed."""
    _cipher(bytes(KEY_BYTES))


class DataKey:
    """The key of one subject, or of several together."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return f"DataKey({self.name})"

    @staticmethod
    def of_all(keys: Sequence["DataKey"]) -> "DataKey":
        """Return the key that only who has all of *keys* can make."""
        if len(keys) == 1:
            return keys[0]
        return DataKey(sha256(b"".join(key.derived(b"together") for key in keys)).digest())

    def derived(self, use: bytes) -> bytes:
        """Return 32 bytes for one use of this key."""
        return hmac.digest(self._secret, _USED_FOR + use, "sha256")

    @cached_property
    def name(self) -> str:
        """Eight characters that tell this key from others and nothing else of it."""
        return urlsafe_b64encode(self.derived(b"name")[:_NAME_BYTES]).decode()

    @cached_property
    def _cipher(self) -> "AESGCM":
        return _cipher(self.derived(b"cipher"))

    @cached_property
    def _nonces(self) -> bytes:
        return self.derived(b"nonce")

    def seal(self, plain: bytes, place: bytes) -> str:
        """Return *plain* encrypted, bound to *place*."""
        nonce = hmac.digest(self._nonces, b"%d:%s%s" % (len(place), place, plain), "sha256")
        nonce = nonce[:NONCE_BYTES]
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, plain, place)).decode()

    def unseal(self, data: str, place: bytes) -> bytes:
        """Return what `seal` was given.

        Raises:
            SerializationError: it was changed, or moved to another place.
        """
        try:
            sealed = urlsafe_b64decode(data)
            return _decrypted(self._cipher, sealed, place)
        except ValueError as error:
            raise SerializationError(
                "Stored personal data was changed, or moved from where it was written. Restore "
                "that event or row from a backup."
            ) from error


class MasterKeys:
    """Wraps the keys of subjects by master keys of 32 bytes that the program is given.

    *current* wraps keys; *others* only unwrap. To change the master key, give the new one to all
    processes as another, then make it the current one and the old one another, then call
    `PersonalData.rotate`, and then leave the old one out.
    """

    def __init__(self, current: bytes, *, others: Sequence[bytes] = ()) -> None:
        """Take the master keys; make one with ``secrets.token_bytes(32)``.

        Raises:
            ConfigurationError: a key has not 32 bytes.
            MissingExtraError: `cryptography` is not installed.
        """
        for key in (current, *others):
            if len(key) != KEY_BYTES:
                raise ConfigurationError(
                    f"A master key has {KEY_BYTES} bytes, not {len(key)}: secrets.token_bytes(32) "
                    f"makes one."
                )
        self._ciphers = {_name_of(key): _cipher(key) for key in (current, *others)}
        self._master = _name_of(current)

    @property
    def master(self) -> str:
        """The name of the current master key; it tells nothing of the key."""
        return self._master

    async def wrap(self, keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return *keys*, by subject, encrypted by the current master key."""
        cipher = self._ciphers[self._master]
        wrapped: dict[str, bytes] = {}
        for subject, key in keys.items():
            nonce = secrets.token_bytes(NONCE_BYTES)
            wrapped[subject] = nonce + cipher.encrypt(nonce, key, subject.encode())
        return wrapped

    async def unwrap(self, master: str, wrapped: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return the keys, by subject, that the master key named *master* had encrypted.

        Raises:
            KeyStoreError: there is no such master key here, or a key was changed.
        """
        cipher = self._ciphers.get(master)
        if cipher is None:
            raise KeyStoreError(
                f"Keys are wrapped by master key {master!r}, which this process was not given "
                f"(known: {', '.join(self._ciphers)}). Give it among the others."
            )
        keys: dict[str, bytes] = {}
        for subject, key in wrapped.items():
            try:
                keys[subject] = _decrypted(cipher, key, subject.encode())
            except ValueError as error:
                raise KeyStoreError(
                    f"The stored key of subject {subject!r} was changed. Restore the key store."
                ) from error
        return keys


def _name_of(master: bytes) -> str:
    return hmac.digest(master, _USED_FOR + b"master", "sha256")[:8].hex()


def _cipher(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("cryptography", "personal-data") from error
    return AESGCM(key)


def _decrypted(cipher: "AESGCM", sealed: bytes, bound_to: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - it is there if the cipher is

    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
    except InvalidTag as error:
        raise ValueError("the text does not belong to this key and place") from error
