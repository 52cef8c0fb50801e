"""Goes on with old records: ``python -m tests.golden.resume FOLDER FILE``.

FOLDER has a folder of results for each cell of QM9 whose record is begun there.
"""

import json
import sys
from pathlib import Path

from tests.golden.cells import cells_of
from tests.golden.kernels import fix_rounding
from tests.golden.train import make_data, read_numbers, train


def main(folder: Path, file: Path) -> None:
    """Finish every training that has been begun in ``folder`` and write its numbers."""
    fix_rounding()
    data = file.parent / "data"
    make_data("qm9", data)
    numbers = {
        cell.name: read_numbers(train(cell, data, folder / cell.name))
        for cell in cells_of("qm9")
        if (folder / cell.name).is_dir()
    }
    file.write_text(json.dumps(numbers, allow_nan=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
