"""Sales: orders, event-sourced, and what is read of them."""

from examples.shop.sales.context import sales

__all__ = ["sales"]
