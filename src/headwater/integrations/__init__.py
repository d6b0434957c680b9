"""Headwater within what users have already: their database connections and frameworks."""
