"""Looking into recorded runs: one update made again, predictions."""
