#!/usr/bin/env bash
# Runs the CUDA kernels on the CPU: their own sources, compiled by g++, thread by thread, against the
# CPU's blocks and in several orders of threads; a training's losses, too. Needs no GPU and no CUDA.
#
#     tests/cuda/emulate.sh
#
# Needs cargo, and g++ on x86-64 Linux.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tests/cuda/build-emulator.sh "$folder"
ENGINORA_EMULATED_KERNELS=$folder/libkernels.so \
    cargo test --release --test all -- --ignored emulated_
