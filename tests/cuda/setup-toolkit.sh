#!/usr/bin/env bash
# Everything that building with `--features cuda` needs, on a machine without a GPU, a driver and an
# installed toolkit: CUDA 13.0's compiler from NVIDIA's Python wheels (270 MB), and archives in the
# place of its libraries (lazy_libraries.py), so that the program starts on any machine.
#
#     tests/cuda/setup-toolkit.sh FOLDER
#     . FOLDER/env.sh && cargo build --release --features cuda
#
# Needs cargo, gcc and python3 with pip. A folder that is complete, and where it was made, is left as it is.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
folder=$(realpath -m "${1:?usage: setup-toolkit.sh FOLDER}")
toolkit=$folder/toolkit
# The files name where the folder is: one that was moved is made anew.
if grep -qsF "$toolkit" "$folder/env.sh"; then
    echo "$folder has a toolkit already"
    exit 0
fi

# --- the compiler and its headers ---
rm -rf "$folder/unpacked" "$toolkit"
mkdir -p "$folder/wheels" "$folder/unpacked"
python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$folder/wheels" \
    nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
for wheel in "$folder"/wheels/*.whl; do
    python3 -m zipfile -e "$wheel" "$folder/unpacked"
done
mv "$folder/unpacked/nvidia/cu13" "$toolkit"
rm -rf "$folder/unpacked" "$folder/wheels"
chmod -R u+rwX "$toolkit"
chmod +x "$toolkit"/bin/* "$toolkit"/nvvm/bin/*
# There must be no folder `targets`: the compiler would look for its headers in it.
ln -sfn lib "$toolkit/lib64"

# --- libraries to link against: archives alone, so that the program needs none to start ---
(cd "$here/../.." && cargo fetch --quiet)
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
crate() {
    local found=("$registry"/*/"$1")
    [ -d "${found[0]}" ] || { echo "$1 is not below $registry" >&2; exit 1; }
    echo "${found[0]}"
}
rm -f "$toolkit"/lib/libcudart.so*
cp "$toolkit/lib/libcudart_static.a" "$toolkit/lib/libcudart.a"
python3 "$here/lazy_libraries.py" "$(crate cudarc-0.19.10)" "$toolkit/lib"

# --- the kernels of candle that nothing here calls: quantized products and mixtures of experts ---
# Each of these 15 files takes minutes to compile. Their functions become ones that end the program,
# which is what a call of one would be: a bug.
{
    printf '#include <stdio.h>\n#include <stdlib.h>\n'
    grep -oE 'pub fn \w+' "$(crate candle-kernels-0.11.1)/src/ffi.rs" | awk '{ print $3 }' | sort -u |
        while read -r name; do
            printf 'void %s(void) { fputs("%s was left out of this build\\n", stderr); abort(); }\n' \
                "$name" "$name"
        done
} >"$toolkit/left_out.c"
mkdir -p "$toolkit/front"
cat >"$toolkit/front/nvcc" <<'NVCC'
#!/usr/bin/env bash
# The compiler, but for files that are left out (see setup-toolkit.sh).
toolkit=$(dirname "$(dirname "$(readlink -f "$0")")")
output= previous=
for argument in "$@"; do
    [ "$previous" = -o ] && output=$argument
    previous=$argument
done
case "${!#}" in
    *mmvq_gguf.cu) exec gcc -O1 -fPIC -w -c -o "$output" "$toolkit/left_out.c" ;;
    *mmq_gguf/mmq_*.cu | *moe/moe_*.cu) exec gcc -fPIC -c -o "$output" -x c /dev/null ;;
esac
exec "$toolkit/bin/nvcc" "$@"
NVCC
chmod +x "$toolkit/front/nvcc"

# Compute capability 80: what is compiled for it runs on it and on all later ones.
cat >"$folder/env.sh" <<ENV
export CUDA_HOME=$toolkit CUDA_PATH=$toolkit NVCC=$toolkit/front/nvcc
export CUDA_COMPUTE_CAP=\${CUDA_COMPUTE_CAP:-80} CUDAFORGE_THREADS=\${CUDAFORGE_THREADS:-2}
export PATH=$toolkit/bin:\$PATH
ENV
"$toolkit/bin/nvcc" --version | tail -2
du -sh "$folder"
