#!/usr/bin/env bash
# Opens pages of real runs in a browser, without a network, and uses them as a reader does.
#
#     bash tests/page/run.sh [ENGINORA-RS]
#
# Needs node 20 with npm, chromium (CHROMIUM=/usr/bin/chromium), and the built program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

program=$(realpath "${1:-target/release/enginora-rs}")
chromium=${CHROMIUM:-/usr/bin/chromium}
[ -x "$chromium" ] || { echo "no browser: apt-get install chromium, or set CHROMIUM" >&2; exit 1; }

(cd src/report/page && npm ci --silent --no-audit --no-fund && npm run --silent check && node build.mjs --check)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node tests/page/make_runs.mjs "$program" "$work"
CHROMIUM=$chromium node tests/page/check.mjs "$program" "$work"
