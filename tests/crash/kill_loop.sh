#!/bin/bash
# kill_loop.sh [N] [SEED]: kills tiny runs N times (1,000) at random moments, takes each up until it
# is complete, and compares all bytes with a run that was never stopped.
set -eu
cd "$(dirname "$0")/../.."
KILLS=${1:-1000} KILL_SEED=${2:-1} cargo test --release --test all -- \
    a_run_that_is_killed_at_any_moment --nocapture
