"""Procedural rooms in the layout of NYU-v2."""
