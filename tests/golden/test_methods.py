"""Every method on every data set computes what it computed when the goldens were stored.

A change that is meant to change numbers stores them anew, see CONTRIBUTING.md.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.golden.cells import ALWAYS, METHODS, SIZES, WAYS, cells_of
from tests.golden.compare import differences, load
from tests.golden.kernels import fingerprint
from tests.golden.train import train_all


def parts() -> Iterator[Any]:
    """Yield data sets and cells: first what the gate trains, and then the others."""
    for dataset in SIZES:
        names = [cell.name for cell in cells_of(dataset)]
        always = [*METHODS, *WAYS] if dataset == "qm9" else [*ALWAYS]
        yield pytest.param(dataset, always, id=dataset)
        if others := [name for name in names if name not in always]:
            yield pytest.param(dataset, others, id=f"{dataset}, others", marks=pytest.mark.nightly)


@pytest.mark.parametrize(("dataset", "names"), list(parts()))
def test_every_method_computes_the_same(dataset, names, tmp_path):
    stored = load()
    assert sorted(stored[dataset]) == sorted(cell.name for cell in cells_of(dataset))
    exact = stored["fingerprint"] == fingerprint()
    chosen = {name: stored[dataset][name] for name in names}
    faults = differences(dataset, chosen, train_all(dataset, tmp_path, names), exact=exact)
    assert not faults, "\n".join(faults)
