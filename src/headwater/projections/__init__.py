"""Projections: read models computed from the log."""
