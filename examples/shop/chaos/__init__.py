"""Chaos: the shop with workers of its own that are killed, and a mail server that goes away."""
