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


def prepare_originals(
    folder: Path,
    dataset: str,
    source: str,
    originals: Sequence[Original],
    page: str,
    faults: Callable[[Path], Iterator[str]],
    report: Callable[[str], None],
) -> None:
    """Fetch original files, check them and seal the folder, unless that is done.

    Args:
        folder: where the files go; those that are there are not downloaded.
        dataset: its name.
        source: what the manifest says that the data are.
        originals: the files.
        page: where those without a URL are offered.
        faults: yields what is wrong with the content of the files in a folder.
        report: gets a few lines of progress.

    Raises:
        DataError: a file is missing or another one, or the folder has a procedural stand-in.
        MtlBenchError: the disk is full or can't be written.
    """
    facts = {"dataset": dataset, "kind": "real", "source": source}
    there = read_manifest(folder)
    if there is not None and there["kind"] != "real":
        raise DataError(
            f"{folder} holds {there['source']}: move it away, or choose another place with "
            "paths.data=DIR"
        )
    if there is not None and not changed_files(folder):
        report(f"{dataset} is already prepared in {folder}")
        return
    for original in originals:
        path = folder / original.name
        if not path.is_file():
            if original.url is None:
                raise DataError(
                    f"{path} is missing: fetch {original.name} from {page} and put it there"
                )
            download(original.url, path, original.sha256, report)
        elif (found := sha256_of(path)) != original.sha256:
            raise DataError(
                f"{path} is not the published file (SHA-256 {found}): delete it, and "
                + ("give the same command again" if original.url else f"fetch it from {page} again")
            )
    for fault in faults(folder):
        raise DataError(f"{fault}: delete the file and give the same command again")
    _seal(folder, facts, [original.name for original in originals])
    report(f"{dataset} is prepared in {folder}")


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


def open_originals(folder: Path, dataset: str) -> Sealed:
    """Return the files of a data set after a look at their names and sizes.

    Raises:
        DataError: there is no manifest, it is damaged, or a file is missing or of another size.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(f"data set {dataset} is not in {folder}: {how_to_get(folder, dataset)}")
    for fault in _cut_files(folder, manifest):
        raise DataError(f"{fault}: {restore(folder, dataset)}")
    return Sealed(folder, manifest, sha256_of(folder / MANIFEST))


def how_to_get(folder: Path, dataset: str) -> str:
    """Return the two commands that fill a folder with a data set."""
    return (
        f"run `{data_command('synth', dataset, folder)}` for procedural pictures or "
        f"`{data_command('prepare', dataset, folder)}` for the real data (data/README.md)"
    )


def restore(folder: Path, dataset: str) -> str:
    """Return how to get files that have faults again."""
    try:
        manifest = read_manifest(folder)
    except DataError:
        manifest = None
    if manifest is None:
        return how_to_get(folder, dataset)
    if manifest["kind"] == "real":
        again = data_command("prepare", dataset, folder)
        return f"delete the file and run `{again}`"
    return f"run `{data_command('synth', dataset, folder, **manifest.get('settings', {}))}`"


def verify_originals(
    folder: Path, dataset: str, faults: Callable[[Path], Iterator[str]]
) -> list[str]:
    """Compare every byte with the manifest, then look at the content.

    Args:
        folder: the data set.
        dataset: its name.
        faults: yields what is wrong with the content of the files in a folder.

    Returns:
        One line per fault; empty means that the data set is complete and intact.
    """
    try:
        if read_manifest(folder) is None:
            return [f"data set {dataset} is not in {folder}"]
    except DataError as error:
        return [str(error)]
    return changed_files(folder) or list(faults(folder))


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
