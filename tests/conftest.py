"""Fixtures that several rooms share."""

from pathlib import Path

import pytest

from tests import synthetic_qm9

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def qm9_data() -> Path:
    """Return the data folder that holds the real, prepared QM9."""
    if not (ROOT / "data" / "qm9" / "manifest.json").is_file():
        pytest.fail(f"QM9 is not prepared in {ROOT / 'data'}: run make data", pytrace=False)
    return ROOT / "data"


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the synthetic QM9."""
    return synthetic_qm9.write(tmp_path_factory.mktemp("data"))
