#!/bin/sh
# Table 2 on QM9 at the paper's size as an array of Slurm jobs, at most 16 at a time, one GPU each.
# Run it on a login node, in the repository, after `make data`; adapt partition and limits.
#
# Every job is one run. Two minutes before its time limit a job writes a checkpoint, is put into the
# queue again by submitit (up to 100 times) and goes on from there. Once no job is left, the same
# command submits what is not finished and nothing else. LAUNCHER=local JOBS=2 tries it all without
# Slurm, two runs at a time. Of a job's 4 cores, trainer.workers=auto takes 3 to prepare batches.
set -eu
LAUNCHER="${LAUNCHER:-slurm}"
test "$LAUNCHER" = local || partition=hydra.launcher.partition=gpu
exec make table2-qm9 PROFILE=paper SEEDS=0,1,2 JOBS="${JOBS:-16}" LAUNCHER="$LAUNCHER" SLURM="\
  ${partition:-} \
  hydra.launcher.gpus_per_node=1 \
  hydra.launcher.cpus_per_task=4 \
  hydra.launcher.mem_gb=16 \
  hydra.launcher.timeout_min=1440"
