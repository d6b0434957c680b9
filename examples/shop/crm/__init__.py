"""CRM: a card for each customer, kept up from the events of two other contexts."""

from examples.shop.crm.context import crm

__all__ = ["crm"]
