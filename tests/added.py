"""Packages of somebody else that add to the configs, as pip would leave them."""

from pathlib import Path


def announce(site: Path, name: str, version: str, points: dict[str, str]) -> None:
    """Write what an installed distribution says of itself into a folder of ``sys.path``."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{key} = {value}\n" for key, value in points.items()]
    (folder / "entry_points.txt").write_text("[mtl_bench.configs]\n" + "".join(lines))


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write files by their paths within a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
