"""Data sets that are read from their original files, and the manifest that seals these.

``prepare`` fetches the files, or says where they are from, and compares them with the published
hashes; a procedural stand-in writes files of the same names and formats. Either ends with a
manifest of the files' hashes, without which nothing is trained on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mtl_bench.advice import data_command
from mtl_bench.datasets.store.cache import MANIFEST, replace_folder
from mtl_bench.datasets.store.download import download
from mtl_bench.errors import DataError
from mtl_bench.files import is_clutter, parse_json, sha256_of, write_json

FORMAT = 1


class Original(NamedTuple):
    """One file as its authors published it.

    Args:
        name: of the file.
        sha256: of its bytes.
        url: where it is downloaded from; None where it takes a browser.
    """

    name: str
    sha256: str
    url: str | None = None


@dataclass(frozen=True)
class Sealed:
    """A folder of original files that has a manifest.

    Args:
        folder: where they are.
        manifest: ``kind`` (real or procedural), ``source``, ``files`` and what else was noted.
        digest: SHA-256 of the manifest, which stands for the content of every file.
    """

    folder: Path
    manifest: dict[str, Any]
    digest: str

    @property
    def origin(self) -> dict[str, str]:
        """What a data set says of its data."""
        own = {key: str(self.manifest[key]) for key in ("kind", "source")}
        return {**own, "manifest": self.digest}


@dataclass(frozen=True)
class OriginalFiles:
    """What ``mtl-bench data`` does for a data set that is read from its original files.

    Args:
        dataset: its name.
        source: what the manifest says that the data are.
        originals: the files.
        page: where those without a URL are offered.
        faults: yields what is wrong with the content of the files in a folder.
        how_to_get: folder -> the ways to fill it.
    """

    dataset: str
    source: str
    originals: Sequence[Original]
    page: str
    faults: Callable[[Path], Iterator[str]]
    how_to_get: Callable[[Path], str]

    def prepare(
        self,
        folder: Path,
        *,
        report: Callable[[str], None] = print,
        originals: Sequence[Original] | None = None,
    ) -> None:
        """Fetch the files, check them and seal the folder, unless that is done.

        Args:
            folder: where the files go; those that are there are not downloaded.
            report: gets a few lines of progress.
            originals: other files, for tests.

        Raises:
            DataError: a file is missing or another one, or the folder has a procedural stand-in.
            MtlBenchError: the disk is full or can't be written.
        """
        originals = self.originals if originals is None else originals
        there = read_manifest(folder)
        if there is not None and there["kind"] != "real":
            raise DataError(
                f"{folder} holds {there['source']}: move it away, or choose another place with "
                "paths.data=DIR"
            )
        if there is not None and not changed_files(folder):
            report(f"{self.dataset} is already prepared in {folder}")
            return
        for original in originals:
            self._fetch(folder / original.name, original, report)
        for fault in self.faults(folder):
            raise DataError(f"{fault}: delete the file and give the same command again")
        facts = {"dataset": self.dataset, "kind": "real", "source": self.source}
        _seal(folder, facts, [original.name for original in originals])
        report(f"{self.dataset} is prepared in {folder}")

    def _fetch(self, path: Path, original: Original, report: Callable[[str], None]) -> None:
        again = (
            "give the same command again" if original.url else f"fetch it from {self.page} again"
        )
        if not path.is_file():
            if original.url is None:
                raise DataError(
                    f"{path} is missing: fetch {original.name} from {self.page} and put it there"
                )
            download(original.url, path, original.sha256, report)
        elif (found := sha256_of(path)) != original.sha256:
            raise DataError(
                f"{path} is not the published file (SHA-256 {found}): delete it, and {again}"
            )

    def open(self, folder: Path) -> Sealed:
        """Return the files after a look at their names and sizes.

        Raises:
            DataError: there is no manifest, it is damaged, or a file is missing or cut short.
        """
        manifest = read_manifest(folder)
        if manifest is None:
            raise DataError(
                f"data set {self.dataset} is not in {folder}: {self.how_to_get(folder)}"
            )
        for fault in _cut_files(folder, manifest):
            raise DataError(f"{fault}: {self.remedy(folder)}")
        return Sealed(folder, manifest, sha256_of(folder / MANIFEST))

    def require(self, folder: Path) -> None:
        """Check that there are files to train on."""
        self.open(folder)

    def verify(self, folder: Path) -> list[str]:
        """Compare every byte with the manifest, then look at the content.

        Returns:
            One line per fault; empty means that the data set is complete and intact.
        """
        try:
            if read_manifest(folder) is None:
                return [f"data set {self.dataset} is not in {folder}"]
        except DataError as error:
            return [str(error)]
        return changed_files(folder) or list(self.faults(folder))

    def remedy(self, folder: Path) -> str:
        """Return how to get files that have faults again."""
        try:
            manifest = read_manifest(folder)
        except DataError:
            manifest = None
        if manifest is None:
            return self.how_to_get(folder)
        if manifest["kind"] == "real":
            return f"delete the file and run `{data_command('prepare', self.dataset, folder)}`"
        again = data_command("synth", self.dataset, folder, **manifest.get("settings", {}))
        return f"run `{again}`"


def write_procedural(
    folder: Path,
    dataset: str,
    facts: Mapping[str, Any],
    write: Callable[[Path], Sequence[str]],
    report: Callable[[str], None],
) -> None:
    """Write a procedural stand-in, unless the same one is there already.

    Args:
        folder: where it goes; another procedural one is replaced.
        dataset: what it stands for.
        facts: ``source`` and all that it is made from.
        write: writes the files into a folder and returns their names.
        report: gets a few lines of progress.

    Raises:
        DataError: the folder holds something else.
        MtlBenchError: the disk is full or can't be written; what was there is kept.
    """
    facts = {"dataset": dataset, "kind": "procedural", **facts}
    if folder.exists() and not all(map(is_clutter, folder.iterdir())):
        there = read_manifest(folder)
        if there is None or there["kind"] != "procedural":
            raise DataError(
                f"{folder} holds files that are not procedural: move them away, or choose another "
                "folder with paths.data=DIR"
            )
        same = all(there.get(key) == value for key, value in facts.items())
        if same and not changed_files(folder):
            report(f"this stand-in for {dataset} is already in {folder}")
            return
    report(f"drawing a stand-in for {dataset}")
    with replace_folder(folder) as building:
        _seal(building, facts, write(building))
    report(f"a procedural stand-in for {dataset} is in {folder}")


def draw_or_prepare(dataset: str, folder: Path) -> str:
    """Return the two commands that fill a folder with a data set."""
    return (
        f"run `{data_command('synth', dataset, folder)}` for procedural pictures or "
        f"`{data_command('prepare', dataset, folder)}` for the real data (data/README.md)"
    )


def changed_files(folder: Path) -> list[str]:
    """Return a line for each file of the manifest that is missing, cut short or changed."""
    manifest = read_manifest(folder)
    assert manifest is not None, "the folder has no manifest"
    return list(_cut_files(folder, manifest)) or [
        f"{folder / name} has changed: its SHA-256 is not the one in {MANIFEST}"
        for name, facts in manifest["files"].items()
        if sha256_of(folder / name) != facts["sha256"]
    ]


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a folder; None where there is none.

    Raises:
        DataError: it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest: dict[str, Any] = parse_json(path.read_bytes())
        if manifest["format"] != FORMAT or manifest["kind"] not in ("real", "procedural"):
            raise ValueError(f"format {manifest['format']}, kind {manifest['kind']}")
        [manifest[key] for key in ("dataset", "source")]
        [facts[key] for facts in manifest["files"].values() for key in ("sha256", "bytes")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is damaged ({error!r}): delete it, and prepare or draw the data set again"
        ) from error
    return manifest


def _cut_files(folder: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    for name, facts in manifest["files"].items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            yield f"{path} is missing"
        elif size != facts["bytes"]:
            yield f"{path} has {size} bytes, not {facts['bytes']}"


def _seal(folder: Path, facts: Mapping[str, Any], names: Sequence[str]) -> None:
    files = {
        name: {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size}
        for name in names
    }
    write_json(folder / MANIFEST, {"format": FORMAT, **facts, "files": files})
