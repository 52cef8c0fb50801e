"""The notebook of the documentation runs, and what is committed of it has been run."""

import re

import pytest

from tests.end_to_end.processes import ENVIRONMENT, ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
nbformat = pytest.importorskip("nbformat")


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.data
@pytest.mark.filterwarnings("default")  # Jupyter has its own
def test_it_runs(notebook, qm9_data, tmp_path):
    pytest.importorskip("ipykernel")
    client = pytest.importorskip("nbclient").NotebookClient
    (tmp_path / "data").symlink_to(qm9_data)
    (tmp_path / "docs").mkdir()  # it lies there, so that its paths begin with ..
    metadata = {"path": str(tmp_path / "docs")}
    client(notebook, timeout=300, resources={"metadata": metadata}).execute(env=ENVIRONMENT)
    assert [*tmp_path.glob("demo/mini/qm9/*/*/DONE")]


def test_it_shows_what_it_did_and_not_where(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    for cell in cells:
        assert cell.outputs
        assert all(output.output_type != "error" for output in cell.outputs)
        assert not re.search(r"/(home|root|tmp|work|Users)/", str(cell.outputs))
