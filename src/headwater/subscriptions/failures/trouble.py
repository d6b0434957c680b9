"""What is kept of an error: its type, its words, where it came from, how it got there."""

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

MESSAGE_CHARS_MAX: Final = 2_000
"""The most characters that are kept of an error's message."""

TRACEBACK_CHARS_MAX: Final = 20_000
"""The most characters that are kept of a traceback; what is left out is in its middle."""

PLACE_CHARS_MAX: Final = 300
"""The most characters of the place that an error came from; its end is kept."""

CAUSES_MAX: Final = 10
"""How many causes are looked through for the place that an error came from."""

_LIBRARY: Final = str(Path(__file__).parents[2])


class Trouble(msgspec.Struct, frozen=True):
    """An error as it is kept. `place` is the innermost frame outside of the library: its file
    (below the folder that it was imported from), line and function; empty if there is none."""

    error: str
    message: str
    place: str
    traceback: str


def trouble_of(error: BaseException) -> Trouble:
    """Return what is kept of *error*. The traceback has no values of variables."""
    return Trouble(
        _storable(type(error).__qualname__),
        _shortened(_storable(_words_of(error)), MESSAGE_CHARS_MAX),
        _place_of(error),
        _shortened(_storable(_traceback_of(error)), TRACEBACK_CHARS_MAX),
    )


def _words_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__; what failed must be kept
        return f"(its message can't be read: {type(broken).__name__})"


def _traceback_of(error: BaseException) -> str:
    try:
        told = traceback.TracebackException.from_exception(error, capture_locals=False)
        return "".join(told.format())
    except Exception as broken:  # noqa: BLE001 - as above, somewhere among its causes
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"{frames}{type(error).__qualname__} (of which {type(broken).__name__} came)"


def _place_of(error: BaseException) -> str:
    for one in _with_causes(error):
        found = ""
        for frame, line in traceback.walk_tb(one.__traceback__):
            code = frame.f_code
            if not code.co_filename.startswith(_LIBRARY):
                found = f"{_below_path(code.co_filename)}:{line} {code.co_qualname}"
        if found:
            return _storable(found[-PLACE_CHARS_MAX:])
    return ""


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if one is None:
            return
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _below_path(file: str) -> str:
    """Return *file* below the folder that modules are imported from, alike on all machines."""
    folders = [folder for folder in sys.path if folder and file.startswith(f"{folder}/")]
    return file[len(max(folders, key=len)) + 1 :] if folders else Path(file).name


def _storable(text: str) -> str:
    """Return *text* without what some storage can't keep: lone surrogates and NUL."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    cut = f"\n… {len(text) - limit} characters left out …\n"
    kept = limit - len(cut)
    return f"{text[: kept // 2]}{cut}{text[len(text) - (kept - kept // 2) :]}"
