"""Configuration: composed by Hydra, checked before data are read, built in one place."""
