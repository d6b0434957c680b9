"""Audit: who did what to which thing, and when; for every event of every context."""

from examples.shop.audit.context import audit

__all__ = ["audit"]
