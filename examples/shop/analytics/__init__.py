"""Analytics: hands what was bought to a system outside."""

from examples.shop.analytics.context import analytics

__all__ = ["analytics"]
