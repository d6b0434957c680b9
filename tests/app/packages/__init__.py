"""Packages with contexts, for the tests of what belongs to which."""
