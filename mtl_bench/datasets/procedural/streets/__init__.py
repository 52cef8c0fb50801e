"""Procedural streets in the layout of Cityscapes."""
