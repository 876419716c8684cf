#!/usr/bin/env bash
# Builds with the feature `cuda` and puts what run-all.sh needs into one folder, which can be carried
# to a machine with a GPU; FOLDER.tar.xz is the same in one compressed file.
#
#     . TOOLKIT/env.sh          # where there is no installed toolkit, see setup-toolkit.sh
#     tests/cuda/pack.sh FOLDER
#
# Needs cargo, CUDA's compiler, python3 and xz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(realpath -m "${1:?usage: pack.sh FOLDER}")
mkdir -p "$folder"
built() { # the executable of cargo's messages that is called $1
    python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == sys.argv[1]:
        print(message["executable"])' "$1"
}
program=$(cargo build --release --features cuda --message-format json | built enginora-rs | tail -1)
tests=$(cargo test --release --features cuda --test all --no-run --message-format json | built all | tail -1)
cp "$program" "$folder/enginora-rs"
cp "$tests" "$folder/tests"
strip "$folder/enginora-rs" "$folder/tests"
cp tests/cuda/run-all.sh "$folder/"

# It must start where there is no CUDA: no library of it is needed for that.
for file in enginora-rs tests; do
    if readelf -d "$folder/$file" | grep NEEDED | grep -E 'libcu|libnv'; then
        echo "$file needs a CUDA library to start" >&2
        exit 1
    fi
done
tar -C "$(dirname "$folder")" -cf - "$(basename "$folder")" | xz -T0 >"$folder.tar.xz"
ls -l "$folder" "$folder.tar.xz"
