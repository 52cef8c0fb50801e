"""A campaign of faults against real runs: nothing finished may be lost, no result may differ."""
