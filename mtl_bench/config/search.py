"""Hydra over our folder of configs and those of added packages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from mtl_bench.config.groups import GROUPS, find_choices, find_config_folder, find_sources


class AddedConfigs(SearchPathPlugin):
    """Lets Hydra search the folders of added packages after its own and ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folders."""
        for source in find_sources():
            if source.distribution is not None:
                search_path.append(source.package, f"file://{source.folder}")


@contextmanager
def open_hydra() -> Iterator[None]:
    """Make Hydra's functions work on every folder of configs.

    Raises:
        ConfigError: two files give a choice the same name; Hydra would silently take the first.
    """
    for group in GROUPS.values():
        find_choices(group)
    GlobalHydra.instance().clear()
    Plugins.instance().register(AddedConfigs)
    with initialize_config_dir(str(find_config_folder()), job_name="mtl_bench", version_base="1.3"):
        yield
