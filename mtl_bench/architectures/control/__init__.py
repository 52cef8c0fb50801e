"""Policies and critics of several tasks, evaluated side by side."""
