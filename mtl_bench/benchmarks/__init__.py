"""Measurements of speed against a peer."""
