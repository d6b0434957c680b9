"""Stock: follows the orders, and has the supplier send more when the shelf is empty."""

from examples.shop.stock.context import stock

__all__ = ["stock"]
