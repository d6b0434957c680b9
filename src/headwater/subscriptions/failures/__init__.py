"""What becomes of events whose handling fails: delayed, put aside, parked, redelivered."""
