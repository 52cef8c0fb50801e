# Every target does its own set-up in .venv and is quick when the set-up is there.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
DATA := data/qm9/manifest.json

.DEFAULT_GOAL := help
.PHONY: help setup data demo test lint bench clean

help: ## show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  \033[36m%-8s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## install the package with pinned versions into .venv

data: $(DATA) ## prepare QM9 (about a minute)

# in a folder of its own: results/ holds the records that the documentation quotes
demo: .venv/.ready $(DATA) ## train STL, LS and TaskForce on real molecules and print the table
	$(BIN)/mtl-bench train experiment=first_run paths.results=demo
	$(BIN)/mtl-bench tables paths.results=demo

test: .venv/.ready-dev $(DATA) ## run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

lint: .venv/.ready-dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.ready-dev $(DATA) ## measure the training step against PyG's layers
	$(BIN)/mtl-bench bench qm9

clean: ## remove .venv and caches; data and results stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.ready: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing mtl_bench into .venv (torch is large: this takes a few minutes)"
	@$(PIP) --editable '.[qm9]'
	@touch $@

.venv/.ready-dev: .venv/.ready
	@$(PIP) --editable '.[qm9,pyg,sweep,wandb,tensorboard,test,dev]'
	@touch $@

$(DATA): | .venv/.ready
	$(BIN)/mtl-bench data prepare qm9
