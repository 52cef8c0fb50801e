"""The run record: what a run leaves behind."""
