"""Prepared data sets on disk: a folder of .npy files and a manifest, built whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl_bench.advice import data_command
from mtl_bench.datasets.store.npy import map_npy
from mtl_bench.errors import DataError
from mtl_bench.files import (
    explain_write_errors,
    is_clutter,
    parse_json,
    read_json,
    sha256_of,
    sync_folder,
    take_lock,
    write_json,
)

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Cache:
    """An opened cache.

    Args:
        arrays: name -> array, mapped read-only from the disk.
        manifest: everything the preparation wrote down.
        manifest_hash: SHA-256 of the manifest file; through the hashes inside it stands for the
            content of every array.
    """

    arrays: dict[str, np.ndarray]
    manifest: dict[str, Any]
    manifest_hash: str


def write_cache(
    folder: Path, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]
) -> None:
    """Build ``folder`` from arrays and a manifest, or leave it as it was.

    Args:
        folder: the cache; its parent is made if needed.
        arrays: name -> array, saved as NAME.npy.
        manifest: JSON fields to keep beside the file hashes. Times and host names don't belong
            here: the same data should give the same manifest.

    Raises:
        DataError: ``folder`` holds files of somebody else.
        MtlBenchError: the disk is full or the folder can't be written; ``folder`` is untouched.
    """
    ours = folder.is_dir() and not folder.is_symlink()
    for path in sorted(folder.iterdir()) if ours else ():
        if path.name != MANIFEST and path.suffix != ".npy" and not is_clutter(path):
            raise DataError(
                f"{folder} holds {path.name}, which `mtl-bench data` did not write: move it away, "
                "or choose another folder with paths.data=DIR"
            )
    with replace_folder(folder) as building:
        files = {name: write_array(building, name, array) for name, array in arrays.items()}
        write_json(building / MANIFEST, {"format": FORMAT, **manifest, "arrays": files})


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the place of ``folder`` when the block is done.

    It is a hidden folder beside ``folder``. An older ``folder`` is moved aside first and removed at
    the end; if the block raises, it stays as it was. What an interrupted block left behind is
    cleared; a lock on the parent folder keeps a second writer from clearing ours.

    Raises:
        DataError: ``folder`` is a link or a file: what it stands for is not ours to remove.
        MtlBenchError: the disk is full or the folder can't be written; ``folder`` is untouched.
    """
    if folder.is_symlink() or folder.is_file():
        kind = f"a link to {folder.readlink()}" if folder.is_symlink() else "a file"
        raise DataError(
            f"{folder} is {kind}, no folder that can be replaced: remove it, or choose another "
            "place with paths.data=DIR"
        )
    building = folder.with_name(f".{folder.name}.building")
    retired = folder.with_name(f".{folder.name}.retired")
    with explain_write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent):
            try:
                _settle(folder, building, retired)
                building.mkdir()
                yield building
                if folder.exists():
                    folder.rename(retired)
                building.rename(folder)
                sync_folder(folder.parent)
            finally:
                _settle(folder, building, retired)


def open_cache(folder: Path, dataset: str, *, every_byte: bool = True) -> Cache:
    """Map a prepared data set into memory after checking it.

    Args:
        folder: where `write_cache` built it.
        dataset: the name that ``mtl-bench data prepare`` knows it by.
        every_byte: compare hashes too, a third of a second for QM9; a changed number would pass for
            data otherwise.

    Raises:
        DataError: the folder is missing, of another format, or a file is missing or not what
            the manifest states.
    """
    prepare, verify = (data_command(action, dataset, folder) for action in ("prepare", "verify"))
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"data set {dataset} is not prepared in {folder}: run `{prepare}`")
    remedy = f"run `{prepare}` again (`{verify}` lists all faults)"
    try:
        raw = path.read_bytes()
        manifest = parse_json(raw)
        format_version = manifest["format"]
        files: dict[str, dict[str, Any]] = manifest["arrays"]
        for facts in files.values():
            [facts[key] for key in ("sha256", "shape", "dtype", "bytes")]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error!r}): {remedy}") from error
    if format_version != FORMAT:
        raise DataError(
            f"{path} has format {format_version}, this version reads {FORMAT}: {remedy}"
        )
    arrays = {}
    for name, expected in files.items():
        try:
            arrays[name] = _map_array(folder / f"{name}.npy", expected, every_byte)
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / name}.npy is damaged ({error}): {remedy}") from error
    return Cache(arrays, manifest, hashlib.sha256(raw).hexdigest())


def verify_files(folder: Path) -> list[str]:
    """Compare every file with the SHA-256 in the manifest.

    Returns:
        One line per missing or changed file; empty means intact.

    Raises:
        OSError, ValueError: there is no readable manifest; `open_cache` explains that case.
    """
    faults = []
    for name, expected in read_json(folder / MANIFEST)["arrays"].items():
        path = folder / f"{name}.npy"
        if not path.is_file():
            faults.append(f"{path} is missing")
        elif sha256_of(path) != expected["sha256"]:
            faults.append(f"{path} has changed: its SHA-256 is not the one in {MANIFEST}")
    return faults


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the writers' lock of ``folder``; waits for another process that holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        loss = "two commands that prepare a data set here at once spoil it"
        take_lock(descriptor, fcntl.LOCK_EX, folder, loss)
        yield
    finally:
        os.close(descriptor)


def _settle(folder: Path, building: Path, retired: Path) -> None:
    """Leave ``folder`` alone in its place: the old cache if the new one did not get there."""
    if retired.exists() and not folder.exists():
        retired.rename(folder)
    for leftover in (building, retired):
        if leftover.exists():
            shutil.rmtree(leftover)


def write_array(folder: Path, name: str, array: np.ndarray) -> dict[str, Any]:
    """Save an array as FOLDER/NAME.npy; return its SHA-256, shape, type and size in bytes."""
    array = np.ascontiguousarray(array)
    path = folder / f"{name}.npy"
    with path.open("wb") as stream:
        # np.save would hide the errno of a full disk.
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(array.data)
        stream.flush()
        os.fsync(stream.fileno())
    return {
        "sha256": sha256_of(path),
        "shape": list(array.shape),
        "dtype": array.dtype.str,
        "bytes": path.stat().st_size,
    }


def _map_array(path: Path, expected: dict[str, Any], every_byte: bool) -> np.ndarray:
    array = map_npy(path)
    found = (array.offset + array.nbytes, list(array.shape), array.dtype.str)
    wanted = (expected["bytes"], expected["shape"], expected["dtype"])
    if found != wanted:
        raise ValueError(f"{found} instead of {wanted}")
    if every_byte and sha256_of(path) != expected["sha256"]:
        raise ValueError("its bytes have changed")
    return array
