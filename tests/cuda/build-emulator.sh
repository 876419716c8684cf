#!/usr/bin/env bash
# Compiles the CUDA kernels for the processor, as a library that the tests run them with.
#
#     tests/cuda/build-emulator.sh FOLDER
#
# Writes FOLDER/libkernels.so. Needs g++ on x86-64 Linux.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
folder=$(realpath -m "${1:?usage: build-emulator.sh FOLDER}")
mkdir -p "$folder"
# The kernels' names, also of those that macros make.
g++ -E -P -x c++ "$here/../../src/nn/kernels/all.cu" | tr '\n' ' ' |
    grep -oE '__global__ void( __launch_bounds__\([0-9]+\))? \w+' |
    sed -E 's/.* (\w+)$/KERNEL(\1)/' | sort -u >"$folder/kernels.inc"
g++ -std=c++17 -O2 -fPIC -shared -Wall -Wno-unknown-pragmas -Wno-unused-function \
    -I "$folder" -o "$folder/libkernels.so" "$here/emulator.cpp"
