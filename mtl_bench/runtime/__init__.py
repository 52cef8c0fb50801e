"""The process that a run lives in: devices, memory, determinism, errors of libraries."""
