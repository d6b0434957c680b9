"""Where an order stands."""

from enum import Enum


class OrderStatus(Enum):
    """The stations of an order; shipped and cancelled are the last ones."""

    PLACED = "placed"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"
