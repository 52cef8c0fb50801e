"""``python -m mtl_bench`` is ``mtl-bench``."""

import sys

from mtl_bench.cli import main

if __name__ == "__main__":  # not in a process that imports it to find what to do
    sys.exit(main())
