"""Every method on every data set computes what it computed when the goldens were stored.

A change that is meant to change numbers stores them anew, see CONTRIBUTING.md.
"""

import pytest

from tests.golden.cells import SIZES, cells_of
from tests.golden.compare import differences, load
from tests.golden.kernels import fingerprint
from tests.golden.train import train_all


@pytest.mark.parametrize("dataset", SIZES)
def test_every_method_computes_the_same(dataset, tmp_path):
    stored = load()
    assert sorted(stored[dataset]) == sorted(cell.name for cell in cells_of(dataset))
    exact = stored["fingerprint"] == fingerprint()
    faults = differences(dataset, stored[dataset], train_all(dataset, tmp_path), exact=exact)
    assert not faults, "\n".join(faults)
