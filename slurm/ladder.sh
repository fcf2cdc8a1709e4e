#!/bin/bash
# A sweep as a Slurm job array, by hand: one element per line of a file, each line the overrides of one run.
#
#   source slurm/site.env
#   sbatch --array=1-$(wc -l < slurm/ladder.txt) slurm/ladder.sh slurm/ladder.txt data=imagenet data.root=/path/to/it
#
# Words after the file hold for every run. For 4 GPUs a run add --ntasks=4 --gpus=4 --mem=128G before slurm/ladder.sh:
# always one task per GPU, on as many nodes as that takes. Submit from the repository's root, where
# `python -m harness` works.

# Lines that begin with #SBATCH are options of sbatch; those on its command line and in site.env win over them.
#SBATCH --job-name=harness
#SBATCH --ntasks=1               # processes of a run: one per GPU
#SBATCH --cpus-per-task=8        # per process, to decode and augment images
#SBATCH --mem=32G                # per node
#SBATCH --time=2880              # minutes; an upper bound, since runs requeue themselves and resume
#SBATCH --output=slurm-%A_%a.log # one log per element, which all its restarts append to
#SBATCH --open-mode=append
# Jobs that a preemption or a lost node ends may start again. Slurm restarts those itself; and 120 s before the time
# limit it sends SIGUSR2 to the run (to the job's steps: a "B:" here would send it to this script instead), which then
# saves, asks to be requeued and exits with 75.
#SBATCH --requeue
#SBATCH --signal=USR2@120

set -euo pipefail
file=$1
shift

# The overrides of this element. xargs splits the line into words as a shell would; empty lines are not allowed.
overrides=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$file")
mapfile -t words < <(xargs -n1 <<<"$overrides")

# Since Slurm 22.05 srun does not take over --cpus-per-task unless told so.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}

# srun starts one process per task; they find each other through Slurm's variables. If one fails, all end.
# `exec` makes srun's exit code the job's: a run that fails is FAILED in `squeue` and `sacct`.
exec srun --kill-on-bad-exit=1 "${PYTHON:-python}" -m harness train "${words[@]}" "$@"
