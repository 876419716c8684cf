#!/usr/bin/env bash
# All tests that need a GPU, in under 8 minutes: kernels against the CPU's blocks, a whole model's
# gradients and losses, the same bytes twice, and a short training. Builds nothing and needs no
# network.
#
#     run-all.sh [FOLDER]       # a folder that pack.sh made; its own if none is given
#
# Needs a driver (580 or newer) and CUDA 13's libraries: in LD_LIBRARY_PATH, in an installed toolkit,
# or where PyTorch's wheels keep them. Ends with a table. Exit code 0: all passed, 1: something
# failed, 77: there is no GPU and everything was skipped.
set -uo pipefail
folder=$(realpath "${1:-$(dirname "${BASH_SOURCE[0]}")}")
program=$folder/enginora-rs tests=$folder/tests
for file in "$program" "$tests"; do
    [ -x "$file" ] || { echo "$file is missing: tests/cuda/pack.sh makes it" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- CUDA's libraries ---
shopt -s nullglob
candidates=(
    /usr/local/cuda/lib64 /usr/local/cuda-13*/lib64
    /usr/lib/python3*/*-packages/nvidia/cu13/lib
    /usr/local/lib/python3*/*-packages/nvidia/cu13/lib
    /opt/*/lib/python3*/site-packages/nvidia/cu13/lib
    "${VIRTUAL_ENV:-/nowhere}"/lib/python3*/site-packages/nvidia/cu13/lib
    "${HOME:-/nowhere}"/.local/lib/python3*/site-packages/nvidia/cu13/lib
)
if command -v python3 >/dev/null; then
    while read -r place; do
        [ -d "$place/nvidia/cu13/lib" ] && candidates+=("$place/nvidia/cu13/lib")
    done < <(python3 -c 'import sys; print("\n".join(path for path in sys.path if path))')
fi
# All of them: the libraries may lie in several.
for candidate in "${candidates[@]}"; do
    found=("$candidate"/lib{cublas.so.13,cublasLt.so.13,curand.so.10,nvrtc.so.13,cudart.so.13}*)
    if [ ${#found[@]} -gt 0 ]; then
        export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$candidate
        echo "CUDA's libraries: $candidate"
    fi
done
# What the driver compiles of the kernels is kept for the next process.
export CUDA_CACHE_PATH=${CUDA_CACHE_PATH:-$work/cache}

names=() results=() times=()
note() { names+=("$1") results+=("$2") times+=("$3"); }
run() { # a name, then a command
    local name=$1 started=$SECONDS result
    shift
    echo "== $name"
    if "$@"; then result=passed; else result=FAILED; fi
    note "$name" "$result" "$((SECONDS - started)) s"
}
# Tests by the beginning of their names, in full f32 so that they can be held against the CPU's.
gpu_test() {
    local said
    said=$(NVIDIA_TF32_OVERRIDE=0 timeout 150 "$tests" --ignored --test-threads 1 "$1" 2>&1)
    local code=$?
    echo "$said" | tail -40
    # A name that no test has would pass as well.
    [ $code = 0 ] && grep -qE '^test result: ok\. [1-9]' <<<"$said"
}

# --- a short training, twice ---
short_training() {
    local place=$work/$1
    mkdir -p "$place"
    awk 'BEGIN {
        print "id,text,label"
        split("film story actor scene plot music ending", noun, " ")
        split("dull awful boring", bad, " "); split("fine lovely moving", good, " ")
        for (i = 0; i < 600; i++) {
            word = i % 2 ? good[int(i / 2) % 3 + 1] : bad[int(i / 2) % 3 + 1]
            printf "t%d,the %s was %s and the %s too,%d\n", i, noun[i % 7 + 1], word, noun[int(i / 7) % 7 + 1], i % 2
        }
    }' >"$place/train.csv"
    cat >"$place/run.yaml" <<'YAML'
random_state: 1
data: {output_dir: out}
model: {model_name: scratch, max_length: 32}
metrics: [{name: accuracy_score}]
training: {dataset_path: train.csv, validation_size: 0.2, batch_size: 32, epochs: 4, learning_rate: 1e-3, perform_data_cartography: true}
testing: {dataset_path: train.csv}
YAML
    (cd "$place" && timeout 120 "$program" loop --config run.yaml --device cuda) || return 1
    awk '/^[^ ]/ { here = ($1 == "test:") } here && $1 == "accuracy_score:" { found = 1; value = $2 }
        END { print "accuracy", value; exit !(found && value >= 0.95) }' "$place/out/metrics.yaml"
}
same_bytes() {
    short_training second && (cd "$work" && for run in first second; do
        find "$run/out/runs/0001" -name '*.safetensors' -o -name '*.parquet' -path '*dynamics*' |
            sort | xargs sha256sum | sed "s| $run/| |" >"$run.sums"
    done && test -s first.sums && diff first.sums second.sums)
}
# The columns of the predicted labels, of as many texts as there are.
same_labels() {
    for device in cuda cpu; do
        awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "prediction") column = i }
            { print $column }' "$device.csv" >"$device.labels"
    done
    [ "$(wc -l <cpu.labels)" = "$(wc -l <train.csv)" ] && [ "$(head -1 cpu.labels)" = prediction ] &&
        diff cuda.labels cpu.labels
}
predictions() {
    (cd "$work/first" && for device in cuda cpu; do
        timeout 120 "$program" predict out --data train.csv --output "$device.csv" --device $device || exit 1
    done && same_labels)
}

opened=$(timeout 120 "$tests" --ignored --nocapture gpu_can_be_opened 2>&1)
if grep -q '^test result: ok\. 1' <<<"$opened"; then
    command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
    run "layers against the CPU, the same bytes twice" gpu_test gpu_layers
    run "gradients of a whole model against the CPU" gpu_test gpu_gradients
    run "losses of a training against the CPU, the same bytes twice" gpu_test gpu_training
    run "too little memory is said" gpu_test gpu_memory
    run "a short training" short_training first
    run "the same files from a second one" same_bytes
    run "predictions on the GPU and on the CPU" predictions
    code=0
elif ! grep -q 'no GPU: .*(NO_DEVICE)' <<<"$opened"; then
    # There may be a GPU, but it cannot be used: that is a failure.
    tail -20 <<<"$opened"
    note "opening the GPU" FAILED ""
    code=1
else
    grep -oE 'no GPU: .*' <<<"$opened"
    for name in layers gradients losses memory "short training" "same files" predictions; do
        note "$name" skipped ""
    done
    code=77
fi

echo
for i in "${!names[@]}"; do
    printf '%-60s %-8s %s\n' "${names[$i]}" "${results[$i]}" "${times[$i]}"
    [ "${results[$i]}" = FAILED ] && code=1
done
exit $code
