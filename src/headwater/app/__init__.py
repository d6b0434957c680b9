"""The app: bounded contexts put together, checked at the start, and run."""

from headwater.app.app import App
from headwater.app.context import BoundedContext

__all__ = ["App", "BoundedContext"]
