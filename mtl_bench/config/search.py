"""Hydra over our folder of configs and those of added packages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import ClassVar

from hydra import initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

from mtl_bench.config.groups import GROUPS, find_choices, find_config_folder, find_sources

SCHEME = "parsed"


class ParsedFiles(FileConfigSource):
    """Hydra's source of files, but a file is parsed once as long as it stays the same.

    Hydra reads all of them again for every configuration, and a sweep composes one for each run.
    """

    parsed: ClassVar[dict[Path, tuple[tuple[int, ...], ConfigResult]]] = {}

    @staticmethod
    def scheme() -> str:
        """Return what paths of this source begin with."""
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        """Return a file's contents, to be changed by the caller."""
        path = Path(self.path, self._normalize_file_name(config_path))
        if not path.exists():
            return super().load_config(config_path)
        state = path.stat()
        stamp = (state.st_ino, state.st_mtime_ns, state.st_size)
        known = self.parsed.get(path)
        if known is None or known[0] != stamp:
            known = self.parsed[path] = (stamp, super().load_config(config_path))
        return deepcopy(known[1])


class AddedConfigs(SearchPathPlugin):
    """Lets Hydra search the folders of added packages after its own and ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folders."""
        for element in search_path.get_path():
            if element.provider == "main":
                element.path = f"{SCHEME}://{element.path}"
        for source in find_sources():
            if source.distribution is not None:
                search_path.append(source.package, f"{SCHEME}://{source.folder}")


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
    Plugins.instance().register(ParsedFiles)
    with initialize_config_dir(str(find_config_folder()), job_name="mtl_bench", version_base="1.3"):
        yield
