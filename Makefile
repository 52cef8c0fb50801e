# Every target does its own set-up in .venv and is quick when the set-up is there.
PYTHON ?= python3
# each of the many processes would compile torch for itself, which takes longer than to import it
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
# no bytecode of the many modules that nobody imports: Python writes the rest when it imports them
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt
DATA := data/qm9/manifest.json

# of the targets that train and show the paper's tables and figures
PROFILE ?= mini
SEEDS ?= 0
JOBS ?= 1
DATASET ?= qm9
RESULTS ?= results
LAUNCHER ?= $(if $(filter 1,$(JOBS)),basic,processes)
SLURM ?=
LAUNCH_basic := hydra/launcher=basic
LAUNCH_processes = hydra/launcher=processes hydra.launcher.n_jobs=$(JOBS)
LAUNCH_slurm = hydra/launcher=submitit_slurm hydra.launcher.array_parallelism=$(JOBS) $(SLURM)
LAUNCH_local = hydra/launcher=submitit_local hydra.sweeper.max_batch_size=$(JOBS) $(SLURM)
LAUNCH = $(or $(LAUNCH_$(LAUNCHER)),$(error LAUNCHER=$(LAUNCHER): give basic, processes, slurm or local))
READY := .venv/.ready-tables$(if $(filter slurm local,$(LAUNCHER)),-slurm)
SWEEP_qm9 := table2_qm9
SWEEP_nyuv2 := table1
SWEEP_cityscapes := table2_cityscapes
TABLES := $(sort $(basename $(notdir $(wildcard configs/experiment/table*.yaml))) table5 table6)
# environments: the pendulums unless DATASET says otherwise, those of Meta-World by a paper's protocol
SUITE := $(if $(filter file,$(origin DATASET)),pendulum6,$(DATASET))
BY_paco := $(if $(filter pendulum6,$(SUITE)),,protocol=paco)
BY_pcgrad := $(if $(filter pendulum6,$(SUITE)),,protocol=pcgrad)
WHERE = profile=$(PROFILE) paths.results=$(RESULTS)
SHOWN = $(RESULTS)/$(PROFILE)

.DEFAULT_GOAL := help
.PHONY: help setup data demo pendulum6 multimnist test test-nightly test-cuda lint docs bench clean tables figures report

help: ## show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  \033[36m%-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## install the package with pinned versions into .venv

data: $(DATA) ## prepare QM9 (less than a minute)

# in a folder of its own: results/ holds the records that the documentation quotes
demo: JOBS = 2
demo: .venv/.ready $(DATA) ## train LS, TaskForce and STL on real molecules and print the table
	$(BIN)/mtl-bench train experiment=first_run paths.results=demo $(LAUNCH)
	$(BIN)/mtl-bench tables profile=demo paths.results=demo
	@printf '%s\n' '' 'next:' '  . .venv/bin/activate' \
	  '  mtl-bench report profile=demo paths.results=demo' \
	  '  mtl-bench train dataset=qm9 method=nashmtl profile=demo paths.results=demo' \
	  '  mtl-bench train --help'

pendulum6: JOBS = 2
pendulum6: .venv/.ready ## train single-task and multi-task SAC, PCGrad and NashMTL on six pendulums
	$(BIN)/mtl-bench train experiment=pendulum6_first paths.results=demo $(LAUNCH)
	$(BIN)/mtl-bench tables profile=mini dataset=pendulum6 paths.results=demo

test: .venv/.ready-dev $(DATA) ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal -m "not nightly"

test-nightly: .venv/.ready-dev $(DATA) ## run all tests, whole products of methods and data sets among them
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal

test-cuda: .venv/.ready-dev ## run the tests of a GPU, on a machine with one
	MTL_BENCH_TEST_CUDA=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m cuda

lint: .venv/.ready-dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.ready-dev ## build the documentation into site/ and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: .venv/.ready-dev $(DATA) ## measure the training step against PyG's layers
	$(BIN)/python -m benchmarks qm9

# $(1) target, $(2) sweeps of configs/experiment, $(3) data set, $(4) what shows it, $(5) a figure
# beside it, $(6) further words of the runs. Runs that are finished are skipped, and where all are,
# the data aren't needed; what is there is shown even if a run failed, and the failure is the status.
define reproduce
.PHONY: $(1)
$(1): $(READY)
	@status=0; for sweep in $(2); do \
	  words="-m experiment=$$$$sweep dataset=$(3) $(6) seed=$(SEEDS) $(WHERE)"; \
	  $(BIN)/mtl-bench train --dry-run $$$$words || { \
	    $(MAKE) --no-print-directory data-$(3) && \
	    $(BIN)/mtl-bench train $$$$words $$(LAUNCH); } || status=$$$$?; done; \
	$(BIN)/mtl-bench $(4) dataset=$(3) $(WHERE) || status=$$$$?; \
	$(if $(5),$(BIN)/mtl-bench figures $(5) dataset=$(3) $(WHERE) || status=$$$$?;) exit $$$$status
endef
IN := paths.tables=$(SHOWN)/tables

$(eval $(call reproduce,table1,table1,nyuv2,tables table1 $(IN)))
$(eval $(call reproduce,table2-cityscapes,table2_cityscapes,cityscapes,tables table2_cityscapes $(IN)))
$(eval $(call reproduce,table2-qm9,table2_qm9,qm9,tables table2_qm9 $(IN)))
$(foreach t,$(filter-out table1 table2% table5 table6 table8,$(TABLES)),$(eval \
  $(call reproduce,$(t),$(t),$(DATASET),tables $(t) $(IN))))
$(eval $(call reproduce,table6,table1,nyuv2,tables table6 $(IN)))
$(eval $(call reproduce,table8,table2_qm9 table7,qm9,tables table8 $(IN)))
$(foreach f,figure2 figure3,$(eval $(call reproduce,$(f),table7 $(f),$(DATASET),figures $(f))))
$(eval $(call reproduce,figure4,$(SWEEP_$(DATASET)),$(DATASET),figures figure4))

$(eval $(call reproduce,multimnist,multimnist,multimnist,tables multimnist $(IN)))
$(eval $(call reproduce,pcgrad-table1,pcgrad_table1,nyuv2,tables pcgrad_table1 $(IN)))
$(eval $(call reproduce,pcgrad-table2,pcgrad_table2,cifar100,tables pcgrad_table2 $(IN)))
$(eval $(call reproduce,pcgrad-table3,pcgrad_table3,celeba,tables pcgrad_table3 $(IN)))

$(foreach t,paco_table1 paco_table2 paco_table3,$(eval $(call \
  reproduce,$(subst _,-,$(t)),$(t),$(SUITE),tables $(t) $(IN),,$(BY_paco))))
$(foreach t,pcgrad_figure3 dgrad_figure4,$(eval $(call \
  reproduce,$(subst _,-,$(t)),$(t),$(SUITE),tables $(t) $(IN),score,$(BY_pcgrad))))
$(eval $(call reproduce,pcgrad-figure4,pcgrad_figure4,metaworld,tables pcgrad_figure4 $(IN),triad))

multimnist: JOBS = 2
multimnist: .venv/.ready-digits ## train ten methods on two overlapping digits and show the table
pcgrad-table1: ## train and show table 1 of PCGrad (pcgrad-table1 ... pcgrad-table3)
paco-table1: ## train and show systems of multi-task SAC (paco-table1 ... paco-table3, pcgrad-figure3, pcgrad-figure4, dgrad-figure4; DATASET=mt10)

table1: ## train and show table 1 (table1 ... table9, figure2 ... figure4; PROFILE= SEEDS= JOBS= DATASET=)

.PHONY: data-qm9 data-nyuv2 data-cityscapes data-cifar100 data-celeba data-multimnist table2 table5
table2: table2-cityscapes table2-qm9

table5: table1 table2
	$(BIN)/mtl-bench tables table5 $(IN) $(WHERE)

data-qm9: $(DATA)
	@:

# the profile paper is about the real data, which data/README.md tells how to get
data-nyuv2 data-cityscapes data-cifar100 data-celeba: data-%: | $(READY)
	@test $(PROFILE) = paper || test -e data/$* || $(BIN)/mtl-bench data synth $*

# the other profiles have digits that are embedded
data-multimnist: | $(READY)
	@test $(PROFILE) != paper || $(BIN)/mtl-bench data prepare multimnist

# environments need no data, those of Meta-World the simulator
.PHONY: data-pendulum6 data-metaworld data-mt4 data-mt6 data-mt10 data-mt50
data-pendulum6:
	@:

data-metaworld data-mt4 data-mt6 data-mt10 data-mt50: | .venv/.ready-rl
	@:

tables: $(READY) ## show every table of the records that there are
	$(BIN)/mtl-bench tables $(WHERE) $(IN)
	$(BIN)/mtl-bench tables $(TABLES) $(WHERE) $(IN)

figures: $(READY) ## draw every figure of the records that there are
	$(BIN)/mtl-bench figures $(WHERE)

report: $(READY) ## write the report page of the records that there are
	$(BIN)/mtl-bench report $(WHERE)

clean: ## remove .venv and caches; data and results stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.ready: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing mtl_bench into .venv (torch is large: this takes a few minutes)"
	@$(PIP) --upgrade pip  # that of a new venv may be old, and takes twice the time
	@$(PIP) --editable '.[qm9,report]'
	@touch $@

.venv/.ready-tables: .venv/.ready
	@$(PIP) --editable '.[qm9,vision,report]'
	@touch $@

.venv/.ready-digits: .venv/.ready-tables
	@$(PIP) --editable '.[digits]'
	@touch $@

.venv/.ready-rl: .venv/.ready-tables
	@$(PIP) --editable '.[rl]'
	@touch $@

.venv/.ready-tables-slurm: .venv/.ready-tables
	@$(PIP) --editable '.[slurm]'
	@touch $@

.venv/.ready-dev: .venv/.ready
	@$(PIP) --editable '.[qm9,pyg,nash-ccp,rl,slurm,wandb,tensorboard,test,docs,dev]'
	@touch $@

$(DATA): | .venv/.ready
	$(BIN)/mtl-bench data prepare qm9
