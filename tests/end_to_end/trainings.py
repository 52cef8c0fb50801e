"""Trains a run for each method: ``python -m tests.end_to_end.trainings METHODS KEY=VALUE ...``."""

import sys

from mtl_bench.cli import main

if __name__ == "__main__":
    methods, *words = sys.argv[1:]
    for method in methods.split(","):
        if status := main(["train", f"method={method}", *words]):
            sys.exit(status)
