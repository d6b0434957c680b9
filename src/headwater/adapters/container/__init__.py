"""Containers: dishka, and a plain table of instances and factories."""
