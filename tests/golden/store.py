"""Store the goldens anew: ``python -m tests.golden.store [DATASET ...]``, by default all."""

import sys
import tempfile
from pathlib import Path

from tests.golden.cells import SIZES
from tests.golden.compare import FILE, differences, load, save
from tests.golden.kernels import fingerprint
from tests.golden.train import train_all


def main(datasets: list[str]) -> None:
    """Train the cells of these data sets, say what has changed, and store them beside the others.

    With other versions of the packages than those of the stored ones, all are trained.
    """
    before = load() if FILE.exists() else {}
    if before.get("fingerprint") != fingerprint():
        datasets = []
    numbers = {dataset: before.get(dataset, {}) for dataset in SIZES}
    for dataset in datasets or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            numbers[dataset] = train_all(dataset, Path(folder))
        for fault in differences(dataset, before.get(dataset, {}), numbers[dataset], exact=True):
            print(f"{dataset}: {fault}")
    save(numbers)


if __name__ == "__main__":
    main(sys.argv[1:])
