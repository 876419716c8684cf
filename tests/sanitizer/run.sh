#!/usr/bin/env bash
# run.sh [FILTER...]: runs the tests whose code has `unsafe` blocks under AddressSanitizer, which
# ends a test at the first read or write outside of what was allocated, or after it was freed.
#
# The stable compiler has the sanitizer's library and takes the option with RUSTC_BOOTSTRAP. Only
# our own crates are compiled with it: the `unsafe` blocks are there, and dependencies that were
# compiled before are used again. Memory that they allocate is watched as well.
#
# Not seen: what assembly reads and writes (the AMX tiles; what is packed for them, and what is made
# of their sums, is seen), and what runs on a GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

filters=("$@")
if [ ${#filters[@]} = 0 ]; then
    # nn: kernels, products, values, memory; and what is built of them. Signals have a handler.
    filters=(nn:: kernels:: model:: train:: predict:: signals:: stopped:: resume:: checkpoints::)
fi

# Leaks are no unsoundness, and threads that never end look like some.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:${ASAN_OPTIONS:-}
RUSTC_WORKSPACE_WRAPPER=$PWD/tests/sanitizer/rustc.sh cargo test --release --test all \
    --config 'profile.release.package.enginora-rs.opt-level=1' \
    --config 'profile.release.package.enginora-rs.debug="line-tables-only"' \
    -- "${filters[@]}"
