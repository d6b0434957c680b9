"""Deliveries that are held: delayed, dead, or waiting behind one of these; and what mends them."""
