"""What learning agents are made of: ensembles of networks, buffers, noise and temperature."""
