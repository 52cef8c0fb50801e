"""Configuration: composed by Hydra, checked before torch is imported, built in one place."""
