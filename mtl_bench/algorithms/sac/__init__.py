"""Soft actor-critic of several tasks: replay, temperatures, and the two components."""
