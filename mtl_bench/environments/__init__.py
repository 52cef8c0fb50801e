"""Environments of several tasks that step together."""
