"""Configuration: composed by Hydra, checked before torch is imported, built in one place."""

from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import describe_group, find_config_folder

__all__ = ["compose_config", "describe_group", "find_config_folder"]
