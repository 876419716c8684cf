#!/usr/bin/env bash
# Fine-tunes MiniLM for three epochs on the movie reviews, with data map, and fails unless it gets
# 80 % of the test set right. Half an hour on two cores.
#
#     tests/parity/minilm_mr.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

data/fetch-minilm.sh
cargo run --release -- loop --config configs/minilm.yaml
awk '
    /^[^ ]/ { in_test = ($1 == "test:") }
    in_test && $1 == "accuracy_score:" { accuracy = $2 }
    END { printf "test accuracy %s (floor 0.80)\n", accuracy; exit !(accuracy >= 0.80) }
' results/minilm/metrics.yaml
