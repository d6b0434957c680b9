"""Deliveries that are held: delayed, dead, or waiting behind one of these; and what mends them."""

from headwater.operations.dead_letters.dead_letters import DeadLetters
from headwater.operations.dead_letters.deliveries import DeliveryState, HeldDelivery
from headwater.operations.dead_letters.selecting import Selection

__all__ = ["DeadLetters", "DeliveryState", "HeldDelivery", "Selection"]
