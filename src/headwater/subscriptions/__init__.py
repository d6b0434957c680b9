"""Subscriptions: every asynchronous consumer reads the log from checkpoints of its own."""
