"""Words about streams: their names and what a writer expects to find in one."""

import re
import unicodedata
from typing import ClassVar, Final

import msgspec

from headwater.errors import InvalidNameError

STREAM_ID_LENGTH_MAX: Final = 512
# By code point: what else is unprintable depends on the Python that looks.
_CONTROL_OR_SURROGATE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTEXT = re.compile(r"[a-z][a-z0-9_]*(-[a-z0-9_]+)*\Z")

INTERNAL_PREFIX: Final = "$"
"""Streams whose names start with this belong to the library and are hidden unless asked for."""


def check_stream_id(stream_id: str) -> str:
    """Return *stream_id* if it can name a stream.

    Any text of 1 to 512 characters can, except control characters and lone surrogates.

    Raises:
        InvalidNameError: it can't.
    """
    if not 0 < len(stream_id) <= STREAM_ID_LENGTH_MAX:
        raise InvalidNameError(
            "stream id", stream_id, f"it must have 1 to {STREAM_ID_LENGTH_MAX} characters"
        )
    if _CONTROL_OR_SURROGATE.search(stream_id):
        raise InvalidNameError(
            "stream id", stream_id, "it must have no control characters or lone surrogates"
        )
    return stream_id


def check_context_name(name: str) -> str:
    """Return *name* if it can name a bounded context: lower-case words joined by ``-`` or ``_``.

    Raises:
        InvalidNameError: it can't.
    """
    if _CONTEXT.match(name) is None:
        raise InvalidNameError("context name", name, "use lower-case words such as 'sales'")
    return name


def category_of(stream_id: str) -> str:
    """Return what stands before the first ``-``: ``sales.order`` of ``sales.order-17``."""
    return stream_id.partition("-")[0]


class ExpectedVersion(msgspec.Struct, frozen=True):
    """What an append requires of its stream's version at the moment of the commit.

    Build one with `exactly`, `no_stream`, `stream_exists` or `any`.
    """

    kind: str
    version: int | None = None

    NO_STREAM: ClassVar["ExpectedVersion"]
    STREAM_EXISTS: ClassVar["ExpectedVersion"]
    ANY: ClassVar["ExpectedVersion"]

    @staticmethod
    def exactly(version: int) -> "ExpectedVersion":
        """The stream has *version* events, no more, no fewer; 0 is `no_stream`.

        Raises:
            ValueError: *version* is negative.
        """
        if version < 0:
            raise ValueError(f"a stream's version is 0 or more, not {version}")
        return ExpectedVersion("exactly", version) if version else ExpectedVersion.NO_STREAM

    @staticmethod
    def no_stream() -> "ExpectedVersion":
        """The stream is empty."""
        return ExpectedVersion.NO_STREAM

    @staticmethod
    def stream_exists() -> "ExpectedVersion":
        """The stream has at least one event."""
        return ExpectedVersion.STREAM_EXISTS

    @staticmethod
    def any() -> "ExpectedVersion":
        """Whatever stands there is fine."""
        return ExpectedVersion.ANY

    def allows(self, actual: int) -> bool:
        """Return whether a stream at version *actual* meets this expectation."""
        if self.version is not None:
            return actual == self.version
        return actual > 0 if self.kind == "stream_exists" else True

    def __str__(self) -> str:
        if self.kind == "exactly":
            return f"version {self.version}"
        return {"no_stream": "no stream", "stream_exists": "an existing stream"}.get(
            self.kind, "any version"
        )


ExpectedVersion.NO_STREAM = ExpectedVersion("no_stream", 0)
ExpectedVersion.STREAM_EXISTS = ExpectedVersion("stream_exists")
ExpectedVersion.ANY = ExpectedVersion("any")


def words_of(class_name: str) -> list[str]:
    """Return the words of a CamelCase or snake_case name in lower case, in Unicode form C.

    An acronym is one word and digits stay with the word before them: ``HTTPRequestV2Sent`` has
    the words http, request, v2, sent.
    """
    words: list[str] = []
    previous = "_"
    for index, character in enumerate(class_name):
        following = class_name[index + 1 : index + 2]
        begins = character.isupper() and (not previous.isupper() or following.islower())
        if character != "_":
            if begins or previous == "_":
                words.append("")
            words[-1] += character
        previous = character
    return [unicodedata.normalize("NFC", word.lower()) for word in words]
