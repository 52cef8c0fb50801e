"""Drawn scenes that stand in for data sets of images."""
