"""Data that grows beside a run: immutable parts, each written once and named by checkpoints."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from mtl_bench.files import sha256_of, write_atomically


class PartStore:
    """Files of one folder with their hashes.

    A checkpoint holds names and hashes alone, so that saving costs what is new and not what is
    there.

    Args:
        root: names of parts are relative to it.
        folder: within ``root``, where the parts are; empty for ``root`` itself.
        pattern: glob of the parts' file names; other files in the folder are none of the store's.

    Attributes:
        parts: name -> SHA-256 of the parts that are there.
        lost: names of parts that were missing or damaged when the store was resumed.
    """

    def __init__(self, root: Path, folder: str, pattern: str) -> None:
        self.root, self.folder, self.pattern = root, folder, pattern
        self.parts: dict[str, str] = {}
        self.lost: list[str] = []
        self._dropped: deque[list[str]] = deque()

    def write(self, name: str, write: Callable[[IO[bytes]], object]) -> None:
        """Write a part, whole or not at all.

        Args:
            name: of the file, which ``pattern`` matches.
            write: writes the content to an open file.
        """
        path = self.root / self.folder / name
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, write)
        self.parts[self._key(path)] = sha256_of(path)

    def drop(self, names: Iterable[str]) -> None:
        """Leave parts out of the checkpoints to come; call it once for each, with none perhaps.

        Their files go two calls later, when neither of the two checkpoints that are kept names
        them.
        """
        dropped = list(names)
        for name in dropped:
            del self.parts[name]
        self._dropped.append(dropped)
        if len(self._dropped) > 2:
            for name in self._dropped.popleft():
                (self.root / name).unlink(missing_ok=True)

    def damaged(self, state: dict[str, Any]) -> list[str]:
        """Return the names of a state's parts that are missing or not what they were."""
        return sorted(
            name
            for name, digest in state["parts"].items()
            if not (self.root / name).is_file() or sha256_of(self.root / name) != digest
        )

    def state_dict(self) -> dict[str, Any]:
        """Return name -> SHA-256 of the parts, and the names of those that are lost."""
        return {"parts": dict(self.parts), "lost": list(self.lost)}

    def resume(self, state: dict[str, Any] | None) -> list[str]:
        """Keep the parts that a checkpoint names, and remove all others of this folder.

        Args:
            state: what ``state_dict`` returned at the time of the checkpoint, perhaps with parts of
                other folders, which don't count; None without a checkpoint.

        Returns:
            The names of parts that are missing or not what they were.
        """
        parts, lost = (state["parts"], state["lost"]) if state else ({}, [])
        named = {name: digest for name, digest in parts.items() if self._owns(name)}
        self.parts = {}
        for path in (self.root / self.folder).glob(self.pattern):
            name = self._key(path)
            if named.get(name) == (digest := sha256_of(path)):
                self.parts[name] = digest
            else:
                path.unlink()
        damaged = sorted(named.keys() - self.parts.keys())
        self.lost = [*(name for name in lost if self._owns(name)), *damaged]
        return damaged

    def _key(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _owns(self, name: str) -> bool:
        return name.rpartition("/")[0] == self.folder
