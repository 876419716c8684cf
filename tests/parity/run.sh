#!/usr/bin/env bash
# Fine-tunes MiniLM for a short while with enginora-rs and checks that transformers, given the
# saved model, computes the same logits for the test set.
#
#     tests/parity/run.sh
#
# Needs cargo, python3 with venv, and PyPI. The Python environment is kept in
# target/parity-venv until requirements.txt changes; PARITY_PYTHON=.../bin/python uses one that
# is there already. A quickstart run in results/quickstart is checked too when there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly OUTPUT=target/parity/minilm

python=${PARITY_PYTHON:-$(tests/venv.sh tests/parity/requirements.txt target/parity-venv)}

# The folder of the latest run under output folder $1.
latest_run() {
    local runs=("$1"/runs/*/)
    if [ ! -d "${runs[0]}" ]; then
        echo "parity: $1/runs holds no run" >&2
        exit 1
    fi
    # Numbers are zero-padded, so the last in the order of names is the latest.
    echo "${runs[${#runs[@]} - 1]%/}"
}

data/fetch-minilm.sh
cargo run --release -- loop --config configs/minilm-short.yaml --output-dir "$OUTPUT" \
    --set training.precision=f32
run=$(latest_run "$OUTPUT")
"$python" tests/parity/check_run.py "$run"

if [ -d results/quickstart/runs ]; then
    run=$(latest_run results/quickstart)
    # Where the processor has bf16 products, the quickstart's are in bf16.
    "$python" tests/parity/check_run.py "$run" --tolerance 0.1 --probability-tolerance 0.05
fi
