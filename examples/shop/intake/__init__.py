"""Intake: turns the lines of a file into orders, each exactly once."""

from examples.shop.intake.context import intake

__all__ = ["intake"]
