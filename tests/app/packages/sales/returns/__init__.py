"""A package below the one that creates the context."""
