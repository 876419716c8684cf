#!/usr/bin/env bash
# Trains the same model on the same data with enginora-rs and with PyTorch, in turns, recording
# training dynamics in both, and prints how fast each is and how much memory it takes.
#
#     tests/bench/compare_pytorch.sh [all|a|b|c|base|self ...] [--sentences N] [--epochs N] [--pairs N]
#         [--without-compile] [--device cpu|cuda] [--train FILE]
#
# README.md beside this file says what a, b, c, base and self are. A Markdown table goes to
# standard output, the raw numbers to target/bench/compare.json. Nothing else should run on the
# machine meanwhile.
#
# Needs cargo, python3 with venv, a C++ compiler (for torch.compile) and PyPI. The Python
# environment is kept in target/bench-venv until requirements.txt changes;
# BENCH_PYTHON=.../bin/python uses one that is there already. ENGINORA=path/to/enginora-rs takes
# that binary instead of building one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=${BENCH_PYTHON:-$(tests/venv.sh tests/bench/requirements.txt target/bench-venv)}

data/fetch-minilm.sh
if [ -z "${ENGINORA:-}" ]; then
    features=()
    [[ " $* " == *" --device cuda "* ]] && features=(--features cuda)
    cargo build --release "${features[@]}"
    ENGINORA=target/release/enginora-rs
fi
exec "$python" tests/bench/compare.py --enginora "$ENGINORA" "$@"
