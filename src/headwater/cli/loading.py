"""Finds the app that ``--app module:name`` names."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from headwater.app.app import App
from headwater.app.catalogue import Catalogue
from headwater.errors import ConfigurationError
from headwater.operations.recovering import Consumer
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.serialization.personal.sealed_storage import as_stored


class LoadedApp(msgspec.Struct, frozen=True):
    """An app that was checked, and is not running."""

    app: App
    catalogue: Catalogue

    @property
    def storage(self) -> Storage:
        """The storage of its log, as it is: what is personal stands there encrypted."""
        return as_stored(self.app.storage)

    @property
    def codec(self) -> EventCodec:
        """What reads its events."""
        return self.catalogue.codec

    @property
    def databases(self) -> Mapping[str, Storage]:
        """Its further storages, by name, as they are."""
        return {name: as_stored(one) for name, one in self.catalogue.databases.items()}

    def consumers(self, storage: Storage) -> Mapping[str, Consumer]:
        """Return its subscriptions whose checkpoints are in *storage*, by name."""
        return {
            one.name: Consumer(one.collection)
            for one in self.catalogue.subscriptions
            if as_stored(one.storage) is storage
        }


def load_app(name: str) -> LoadedApp:
    """Return the app called *name*, such as ``shop.main:app``, with its wiring checked.

    It may also be a function that makes the app. Modules are looked for in the working directory
    first.

    Raises:
        ConfigurationError: it can't be imported, or is no app.
        WiringError: its wiring has faults.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ConfigurationError(f"{name!r} names no app; write it as 'shop.main:app'.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise ConfigurationError(f"{module_name!r} can't be imported: {error}.") from error
    except AttributeError as error:
        raise ConfigurationError(f"{module_name!r} has no {attribute!r}.") from error
    if isinstance(found, type):
        raise ConfigurationError(f"{name!r} is a class; name an app, or a function that makes one.")
    if callable(found) and not isinstance(found, App):
        found = _made(found, name)
    if not isinstance(found, App):
        raise ConfigurationError(f"{name!r} is no App but a {type(found).__name__}.")
    return LoadedApp(found, found.catalogue())


def _made(function: Callable[..., object], name: str) -> object:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ConfigurationError(
            f"{name!r} takes arguments ({error}); name a function that makes the app without any."
        ) from error
    return function()
