"""Data sets: raw files -> cached tensors -> loaders and tasks."""
