#!/bin/sh
# Table 2 on QM9 at the paper's size as an array of Slurm jobs, at most 16 at a time, one GPU each.
# Run it on a login node, in the repository, after `make data`; adapt partition and limits.
#
# Every job is one run. When a job reaches its time limit, submitit puts it into the queue again, and
# it goes on from the last checkpoint (every 10 minutes and at every epoch's end). Typed again, the
# command submits what is missing alone. Of a job's 4 cores, trainer.workers=auto takes 3 to prepare
# batches. LAUNCHER=local tries the same without Slurm.
set -eu
exec make table2-qm9 PROFILE=paper SEEDS=0,1,2 JOBS=16 LAUNCHER="${LAUNCHER:-slurm}" SLURM="\
  hydra.launcher.partition=gpu \
  hydra.launcher.gpus_per_node=1 \
  hydra.launcher.cpus_per_task=4 \
  hydra.launcher.mem_gb=16 \
  hydra.launcher.timeout_min=1440"
