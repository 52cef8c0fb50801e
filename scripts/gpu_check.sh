#!/bin/sh
# What a GPU is to show, in eight minutes at most: steps with their synchronisations, launches and
# memory, projected hours of QM9, loaders, a resumed run, the tests of tests/cuda. Start it in the
# repository, after `make data` if QM9 is to be the real one. What is known is in gpu_check.json
# after every part; out=FILE names another, only=steps,tests chooses parts.
#
# `PYTHON=python3 scripts/gpu_check.sh` takes another Python than that of .venv;
# `scripts/gpu_check.sh device=cpu tiny=true` tries it in tiny sizes where no GPU is.
set -eu
cd "$(dirname "$0")/.."
exec "${PYTHON:-.venv/bin/python}" -m benchmarks device device=cuda "$@"
