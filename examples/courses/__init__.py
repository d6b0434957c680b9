"""Courses and students, built with Headwater: rules that belong to no single aggregate."""
