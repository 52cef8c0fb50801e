"""Records of the version that stored the goldens first: those begun go on, that finished is found.

``old_records.tar.xz`` has a folder of results for each of four cells of QM9: igbv2, taskforce and
uw were stopped in the third of four epochs, nashmtl is finished. It is never made anew.
"""

import json
import tarfile
from pathlib import Path

import pytest

from mtl_bench.cli import main
from tests.golden.cells import cells_of
from tests.golden.compare import differences, load
from tests.golden.kernels import fingerprint
from tests.golden.train import ALONE, run_fixed

BEGUN = ("igbv2", "taskforce", "uw")
FINISHED = "nashmtl"


def unpack(folder: Path, *cells: str) -> dict[str, bytes]:
    """Unpack the records of these cells, and return path -> content of their files."""
    with tarfile.open(Path(__file__).with_name("old_records.tar.xz")) as archive:
        members = [member for member in archive if member.name.partition("/")[0] in cells]
        archive.extractall(folder, members, filter="data")
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_training_begun_by_an_old_version_ends_as_if_it_had_never_stopped(tmp_path):
    records = tmp_path / "records"
    before = unpack(records, *BEGUN)
    file = tmp_path / "numbers.json"
    run_fixed("-m", "tests.golden.resume", str(records), str(file))
    stored = load()
    begun = {cell: stored["qm9"][cell] for cell in BEGUN}
    exact = stored["fingerprint"] == fingerprint()
    faults = differences("qm9", begun, json.loads(file.read_text()), exact=exact)
    assert not faults, "\n".join(faults)
    after = contents(records)
    steps = [path for path in before if path.endswith(".parquet")]
    assert len(steps) == 3 * len(BEGUN)
    assert all(after[path] == before[path] for path in steps)  # with their times: not made again


def test_a_run_finished_by_an_old_version_is_found_and_left_alone(tmp_path, capsys):
    before = unpack(tmp_path, FINISHED)
    (cell,) = (cell for cell in cells_of("qm9") if cell.name == FINISHED)
    paths = (f"paths.results={tmp_path / FINISHED}", f"paths.data={tmp_path / 'none'}")
    assert main(["train", *cell.overrides, *ALONE, *paths]) == 0
    assert capsys.readouterr().out.startswith("already finished: ")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("words", [("seed=1",), ("method.max_norm=2",), ("dataset.batch_size=9",)])
def test_another_run_is_not_taken_for_it(words, tmp_path, capsys):
    unpack(tmp_path, FINISHED)
    (cell,) = (cell for cell in cells_of("qm9") if cell.name == FINISHED)
    words = (*cell.overrides, *words, f"paths.results={tmp_path / FINISHED}")
    assert main(["train", "--dry-run", *words]) == 1
    assert "missing" in capsys.readouterr().out
