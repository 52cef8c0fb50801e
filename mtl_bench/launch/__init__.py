"""Commands, sweeps and launchers: how runs are started."""
