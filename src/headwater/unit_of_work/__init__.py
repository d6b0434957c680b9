"""Collects what a handler wants to write, and commits it as one value."""
