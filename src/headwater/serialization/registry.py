"""Which class is stored under which name."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headwater.errors import DuplicateTypeNameError, MessageTypeError
from headwater.messages import options_of
from headwater.serialization.foreign import is_record_class
from headwater.serialization.forms import Form, form_of
from headwater.serialization.names import type_name

if TYPE_CHECKING:
    from headwater.serialization.personal.personal_data import PersonalData

DEFAULT_CONTEXT: Final = "app"


class RegisteredType(NamedTuple):
    """A class, the name and schema version it is stored under, and its JSON form."""

    name: str
    version: int
    cls: type
    form: Form


class TypeRegistry:
    """The types one process knows: stable stored names for classes, and back.

    A class that nobody registered is registered when it is first asked for, under the context
    that its header names, else the one *context_of* returns, else *default_context*. Safe to
    use from several threads.
    """

    def __init__(
        self,
        default_context: str = DEFAULT_CONTEXT,
        context_of: Callable[[type], str] | None = None,
        *,
        personal: "PersonalData | None" = None,
    ) -> None:
        """Know no types yet. Those with personal fields are refused without *personal*."""
        self.personal = personal
        self._default_context = default_context
        self._context_of = context_of
        self._by_class: dict[type, RegisteredType] = {}
        self._by_name: dict[str, RegisteredType] = {}
        self._lock = threading.Lock()

    def register(self, cls: type, *, context: str | None = None) -> str:
        """Register *cls* and return its stored name. Doing so again changes nothing.

        Raises:
            DuplicateTypeNameError: another class has the name.
            MessageTypeError: *cls* is registered under another context already, is no kind of
                record, or has a field that can't be read back from JSON, or is personal where
                there are no keys.
            InvalidNameError: name or context don't match their patterns.
        """
        if not is_record_class(cls):
            raise MessageTypeError(
                f"{cls!r} can't be a message. Use Event, Command or Query, a dataclass, an attrs "
                f"class or a pydantic model."
            )
        name = type_name(cls, context or self._context_for(cls))
        with self._lock:
            known = self._by_class.get(cls)
            if known is not None:
                return self._known_again(known, name, context)
            if (other := self._by_name.get(name)) is not None:
                raise DuplicateTypeNameError(name, other.cls, cls)
            form = self.checked(cls, form_of(cls))
            registered = RegisteredType(name, options_of(cls).version, cls, form)
            self._by_class[cls] = registered
            self._by_name[name] = registered
        return name

    def name_of(self, cls: type) -> str:
        """Return the stored name of *cls*, registering it if need be (raises as `register`)."""
        return self.entry_of(cls).name

    def version_of(self, cls: type) -> int:
        """Return the schema version of *cls*, registering it if need be (raises as `register`)."""
        return self.entry_of(cls).version

    def entry_of(self, cls: type) -> RegisteredType:
        """Return all about *cls*, registering it if need be (raises as `register`)."""
        entry = self._by_class.get(cls)
        if entry is None:
            self.register(cls)
            entry = self._by_class[cls]
        return entry

    def entry_named(self, name: str) -> RegisteredType | None:
        """Return all about the class stored under *name*, None if there is none."""
        return self._by_name.get(name)

    def class_of(self, name: str) -> type | None:
        """Return the class stored under *name*, None if this process has none."""
        entry = self._by_name.get(name)
        return None if entry is None else entry.cls

    def names_of(self, base: type) -> frozenset[str]:
        """Return the names of all registered classes that are *base* or derived from it.

        For a Protocol: of those that have its members. A class registered later is not in it.
        """
        fits = _fits_protocol if getattr(base, "_is_protocol", False) else issubclass
        with self._lock:
            return frozenset(e.name for e in self._by_class.values() if fits(e.cls, base))

    def types(self) -> tuple[type, ...]:
        """Return all registered classes in the order of their registration."""
        with self._lock:
            return tuple(self._by_class)

    def checked(self, of: object, form: Form) -> Form:
        """Return *form*, of a type, if what it has of personal fields can be encrypted.

        Raises:
            MessageTypeError: it has some, and there are no keys.
        """
        if form.mark is not None and self.personal is None:
            raise MessageTypeError(
                f"{getattr(of, '__qualname__', of)} has personal fields, and there is no key to "
                f"encrypt them with. Give the app or event store its keys: personal_data=…."
            )
        return form

    def _context_for(self, cls: type) -> str:
        return self._context_of(cls) if self._context_of is not None else self._default_context

    def _known_again(self, known: RegisteredType, name: str, context: str | None) -> str:
        if context is not None and name != known.name:
            raise MessageTypeError(
                f"{known.cls.__qualname__} is registered as {known.name!r} and can't become "
                f"{name!r}: a type belongs to one context. Name it in the class header "
                f"(context='…'), or register it before it is first used."
            )
        return known.name


def _members(cls: type) -> list[str]:
    return list(vars(cls))


def _fits_protocol(cls: type, protocol: Any) -> bool:
    """Whether *cls* has all members of *protocol*; fields count, which `issubclass` refuses."""
    wanted: set[str] = set()
    for base in protocol.__mro__:
        if getattr(base, "_is_protocol", False) and base.__module__ != "typing":
            wanted |= {name for name in _members(base) if not name.startswith("_")}
            wanted |= set(getattr(base, "__annotations__", {}))
    annotated = {name for base in cls.__mro__ for name in getattr(base, "__annotations__", {})}
    return all(hasattr(cls, member) or member in annotated for member in wanted)
