"""The raw folders of Cityscapes: which files belong together, and cheap checks of them.

``leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png`` decides which frames there are; the other folders
and endings follow from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mtl_bench.advice import data_command
from mtl_bench.errors import DataError
from mtl_bench.files import is_clutter, read_json

Part = Literal["train", "val"]
PARTS: tuple[Part, Part] = ("train", "val")

STRIDE = 32
"""Pixels of a frame from one pixel of the targets to the next."""

PROCEDURAL = "procedural.json"
"""Written beside the raw folders by the procedural stand-in; the real data set hasn't got it."""

DECODED = "decoded"
"""Folder of the decoded copies that ``prepare`` can make."""


class FrameFile(NamedTuple):
    """One of the four files of a frame."""

    package: str
    ending: str
    bits: int
    colour: int
    content: str


KINDS = {
    "image": FrameFile("leftImg8bit", "leftImg8bit", 8, 2, "8-bit RGB"),
    "labels": FrameFile("gtFine", "gtFine_labelIds", 8, 0, "8-bit grey"),
    "instances": FrameFile("gtFine", "gtFine_instanceIds", 16, 0, "16-bit grey"),
    "disparity": FrameFile("disparity", "disparity", 16, 0, "16-bit grey"),
}
PACKAGES = {
    "leftImg8bit": "leftImg8bit_trainvaltest.zip (11.6 GB)",
    "gtFine": "gtFine_trainvaltest.zip (250 MB)",
    "disparity": "disparity_trainvaltest.zip (3.8 GB)",
}


@dataclass(frozen=True)
class Frame:
    """One frame of a raw folder.

    Args:
        folder: where the packages were unpacked.
        part: train or val.
        name: ``CITY/CITY_SEQUENCE_FRAME``.
    """

    folder: Path
    part: Part
    name: str

    def path(self, kind: str) -> Path:
        """Return the path of one of its `KINDS`."""
        package, ending, *_ = KINDS[kind]
        return self.folder / package / self.part / f"{self.name}_{ending}.png"

    @property
    def decoded(self) -> Path:
        """Return the path of its decoded copy."""
        return self.folder / DECODED / self.part / f"{self.name}.npy"


def list_frames(folder: Path, part: Part) -> list[Frame]:
    """Return the frames of a part, sorted by name.

    Args:
        folder: where the packages were unpacked.
        part: train or val.

    Raises:
        DataError: there are none; the line says how to get them.
    """
    image = KINDS["image"]
    root = folder / image.package / part
    frames = [
        Frame(folder, part, path.relative_to(root).as_posix().removesuffix(f"_{image.ending}.png"))
        for path in find_pngs(root, image.ending)
    ]
    if not frames:
        raise DataError(
            f"no Cityscapes frames in {root}: unpack {', '.join(PACKAGES.values())} from "
            f"https://www.cityscapes-dataset.com (needs an account) into {folder}, or run "
            f"`{data_command('synth', 'cityscapes', folder)}` for procedural street scenes"
        )
    return frames


def find_pngs(root: Path, ending: str) -> list[Path]:
    """Return the files ``CITY/NAME_ENDING.png``, sorted."""
    found = root.glob(f"*/*_{ending}.png")
    return sorted(p for p in found if not (is_clutter(p) or is_clutter(p.parent)))


def frame_size(frames: list[Frame]) -> tuple[int, int]:
    """Return (height, width), by the first frame's image.

    Raises:
        DataError: it can't be read, or targets can't be sampled from that size.
    """
    path = frames[0].path("image")
    header = _Header.read(path)
    if isinstance(header, str):
        raise DataError(f"{path}: {header}")
    for length in (header.height, header.width):
        if length % STRIDE or not length:
            raise DataError(
                f"{path}: {header.width} x {header.height} pixels; both must be multiples of "
                f"{STRIDE}"
            )
    return header.height, header.width


def header_faults(frames: Iterable[Frame], size: tuple[int, int]) -> Iterator[str]:
    """Yield what is wrong with the frames' files, as far as their first and last bytes tell.

    Args:
        frames: what to check.
        size: (height, width) that every file must have.
    """
    for frame in frames:
        for name, kind in KINDS.items():
            path = frame.path(name)
            header = _Header.read(path)
            if isinstance(header, str):
                yield f"{path}: {header}"
            elif (header.bits, header.colour) != (kind.bits, kind.colour):
                yield (
                    f"{path}: {header.bits} bits a channel and PNG colour type {header.colour}, "
                    f"must be {kind.content}"
                )
            elif (header.height, header.width) != size:
                yield (
                    f"{path}: {header.width} x {header.height} pixels, others have "
                    f"{size[1]} x {size[0]}"
                )


def check_headers(frames: list[Frame]) -> tuple[int, int]:
    """Check all files of frames within about a second for the whole data set.

    Returns:
        Their height and width.

    Raises:
        DataError: a file is missing, cut short or of another format; the line names the first.
    """
    size = frame_size(frames)
    fault = next(header_faults(frames, size), None)
    if fault is not None:
        verify = data_command("verify", "cityscapes", frames[0].folder)
        raise DataError(f"{fault}; unpack its package again (`{verify}` lists all faults)")
    return size


def describe_origin(folder: Path, frames: Iterable[Frame]) -> dict[str, str]:
    """Return kind and source of the data, and a SHA-256 over the files' names and sizes."""
    total = hashlib.sha256()
    for frame in frames:
        sizes = [frame.path(kind).stat().st_size for kind in KINDS]
        total.update(f"{frame.part}/{frame.name} {sizes}\n".encode())
    facts = read_procedural(folder) or {
        "kind": "real",
        "source": "packages of cityscapes-dataset.com",
    }
    return {"kind": facts["kind"], "source": facts["source"], "manifest": total.hexdigest()}


def read_procedural(folder: Path) -> dict[str, Any] | None:
    """Return what the procedural stand-in wrote about itself; None where it wrote nothing.

    Raises:
        DataError: that file is damaged.
    """
    path = folder / PROCEDURAL
    if not path.exists():
        return None
    try:
        facts: dict[str, Any] = read_json(path)
        if facts["kind"] != "procedural" or not isinstance(facts["source"], str):
            raise ValueError("it says nothing of procedural scenes")
        [facts["frames"][part] for part in PARTS]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged ({error!r}): move {folder} away and run "
            f"`{data_command('synth', 'cityscapes', folder)}` again"
        ) from error
    return facts


class _Header(NamedTuple):
    width: int
    height: int
    bits: int
    colour: int

    @classmethod
    def read(cls, path: Path) -> _Header | str:
        """Return the header of a PNG file, or what is wrong with the file."""
        try:
            with path.open("rb") as stream:
                begin = stream.read(26)
                stream.seek(-min(12, stream.seek(0, 2)), 2)
                end = stream.read()
        except OSError as error:
            return "is missing" if isinstance(error, FileNotFoundError) else str(error.strerror)
        if len(begin) < 26 or begin[:8] != b"\x89PNG\r\n\x1a\n" or begin[12:16] != b"IHDR":
            return "is not a PNG file"
        if end[4:8] != b"IEND":
            return "is cut short"
        width, height = int.from_bytes(begin[16:20], "big"), int.from_bytes(begin[20:24], "big")
        return cls(width, height, begin[24], begin[25])
