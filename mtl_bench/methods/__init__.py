"""Multi-task optimisation methods, one file each."""
