#!/bin/bash
# One run on two nodes with four GPUs each: sbatch scripts/slurm_nodes.sh dataset=qm9 method=nashmtl
# Submit it in the repository, after `make data`; adapt partition and limits. The folder must be one
# that all nodes see.
#
# srun starts the eight processes and tells each one its number; no torchrun is needed. Two minutes
# before the time limit Slurm sends USR1 to all of them: they end after the same update, write a
# checkpoint and exit with status 75, and the job goes into the queue again. The same happens with
# `scancel --signal=USR1 JOB`. docs/distributed.md says what this was tried on.
#SBATCH --partition=gpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=4
#SBATCH --mem=64G
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT
export WORLD_SIZE="$SLURM_NTASKS" LOCAL_WORLD_SIZE="$SLURM_NTASKS_PER_NODE"
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
srun --kill-on-bad-exit=0 bash -c '
  export RANK="$SLURM_PROCID" LOCAL_RANK="$SLURM_LOCALID"
  exec .venv/bin/mtl-bench train profile=paper "$@"
' _ "$@"
status=$?
test "$status" -ne 75 || scontrol requeue "$SLURM_JOB_ID"
exit "$status"
