"""A shop, built with Headwater: real purchases, from the command to the read models."""
