#!/usr/bin/env bash
# Makes the Python environment FOLDER of what the file REQUIREMENTS lists, unless it is there
# and the list has not changed, and prints its interpreter.
#
#     tests/venv.sh REQUIREMENTS FOLDER
set -euo pipefail

readonly REQUIREMENTS=$1
readonly VENV=$2

if ! cmp -s "$REQUIREMENTS" "$VENV/requirements.txt"; then
    echo "making $VENV" >&2
    rm -rf "$VENV"
    mkdir -p "$(dirname "$VENV")"
    "${PYTHON:-python3}" -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$REQUIREMENTS" >&2
    # Last, so that an installation that was cut short is made anew.
    cp "$REQUIREMENTS" "$VENV/requirements.txt"
fi
echo "$VENV/bin/python"
