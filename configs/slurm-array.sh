#!/bin/sh
# Splits an experiment over the tasks of a Slurm job array, on a folder that all nodes see. Each
# task finds its part in the variables that Slurm sets; a training whose map several parts need is
# done by one of them, and the others wait for it. A task that is stopped goes on when it is
# submitted again.
#
#   sbatch configs/slurm-array.sh configs/subset-grid.yaml
#   enginora-rs experiment --config configs/subset-grid.yaml --collect     # when all are done
#
# ENGINORA_RS names the program where it is not on the path.

#SBATCH --job-name=enginora-experiment
#SBATCH --array=1-8
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --output=enginora-%A-%a.log

set -eu

config="${1:-configs/subset-grid.yaml}"
[ $# -eq 0 ] || shift

exec "${ENGINORA_RS:-enginora-rs}" experiment --config "$config" \
    --jobs "${ENGINORA_JOBS:-1}" "$@"
