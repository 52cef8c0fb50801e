"""Networks with shared and task-specific parameters."""
