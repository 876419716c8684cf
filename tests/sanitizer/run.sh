#!/usr/bin/env bash
# Runs the tests whose code has `unsafe` blocks under AddressSanitizer, which ends a test at the
# first read or write outside of what was allocated, or of what was freed.
#
#     tests/sanitizer/run.sh [FILTER...]
#
# The stable compiler has the sanitizer's library, and takes its option with RUSTC_BOOTSTRAP. Our own
# crate is compiled with it, where the `unsafe` blocks are; the dependencies are those of any other
# build, but what they allocate is watched as well. Compiles the crate once more.
#
# Not seen: what the instructions of AMX tiles read and write (what is packed for them, and what is
# made of their sums, is), and what a GPU does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Leaks are no unsoundness, and threads that never end look like some.
export ASAN_OPTIONS=detect_leaks=0

# A sanitizer that finds nothing here would find nothing anywhere.
cat > "$folder/control.rs" << 'RUST'
fn main() {
    let values = vec![1_u8; std::env::args().count()];
    println!("{}", unsafe { *values.as_ptr().add(values.len()) });
}
RUST
RUSTC_BOOTSTRAP=1 rustc -Zsanitizer=address -o "$folder/control" "$folder/control.rs"
if "$folder/control" 2> "$folder/said" > /dev/null || ! grep -q heap-buffer-overflow "$folder/said"; then
    echo "the sanitizer does not find a read behind a vector" >&2
    exit 1
fi

under_sanitizer() {
    RUSTC_WORKSPACE_WRAPPER=$PWD/tests/sanitizer/rustc.sh cargo test --release --lib --test all \
        --config 'profile.release.package.enginora-rs.opt-level=1' \
        --config 'profile.release.package.enginora-rs.debug="line-tables-only"' \
        -- "$@"
}

if [ $# -gt 0 ]; then
    under_sanitizer "$@"
    exit
fi
# The sanitizer itself takes more address space than these tests allow; fuzzing has its own runs.
under_sanitizer --skip memory_limits --skip fuzz
if command -v g++ > /dev/null; then
    tests/cuda/build-emulator.sh "$folder"
    ENGINORA_EMULATED_KERNELS=$folder/libkernels.so under_sanitizer --ignored emulated_
else
    echo "there is no g++: the calls of emulated kernels are not tested"
fi
