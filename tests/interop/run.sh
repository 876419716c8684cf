#!/usr/bin/env bash
# Holds what other programs share with us against these programs: transformers' Trainer with our
# callback, TensorBoard with our event files, a real MLflow server with our reports, also one that
# dies in mid-run and comes back; cleanlab with our export.
#
#     tests/interop/run.sh [trainer|tracking|readers]
#
# Needs cargo, curl, python3 with venv, and PyPI. The Python environments are kept in
# target/parity-venv, target/tracking-venv and target/readers-venv until their lists change;
# TRAINER_PYTHON, TRACKING_PYTHON and READERS_PYTHON use ones that are there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly WORK=target/interop
readonly PORT=${INTEROP_PORT:-5591}
readonly ADDRESS=http://127.0.0.1:$PORT

server=
start_server() {
    "$tracking_python" -m mlflow server --host 127.0.0.1 --port "$PORT" --workers 1 \
        --backend-store-uri "sqlite:///$PWD/$WORK/mlflow.db" \
        --artifacts-destination "$PWD/$WORK/artifacts" >>"$WORK/server.log" 2>&1 &
    server=$!
    for _ in $(seq 600); do
        if curl -sf -o /dev/null "$ADDRESS/health"; then return; fi
        sleep 0.5
    done
    echo "interop: the MLflow server does not start; see $WORK/server.log" >&2
    exit 1
}
stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
        # Its workers take a moment longer to leave the port.
        for _ in $(seq 120); do
            curl -s -o /dev/null "$ADDRESS/health" || return 0
            sleep 0.5
        done
        echo "interop: the MLflow server does not stop" >&2
        exit 1
    fi
}

check_trainer() {
    local python
    python=${TRAINER_PYTHON:-$(tests/venv.sh tests/parity/requirements.txt target/parity-venv)}
    OMP_NUM_THREADS=1 "$python" tests/interop/check_trainer.py
}

# Becomes a run with the output folder $1 and further arguments.
run() {
    exec target/release/enginora-rs loop --config tests/interop/tracked.yaml --output-dir "$1" \
        --set "mlflow.tracking_uri=$ADDRESS" "${@:2}"
}

# Waits until the run $training has said $1 in the log $2.
wait_for() {
    until grep -qs "$1" "$2"; do
        kill -0 "$training" || {
            echo "interop: the run ended without a word of \`$1\`; see $2" >&2
            exit 1
        }
        sleep 0.05
    done
}

# Starts a run with the output folder $1 and waits until it has trained for an epoch; its
# process id is then in $training, and it sleeps.
training=
start_and_stop_run() {
    run "$1" --set training.epochs=12 >"$1.out" 2>"$1.log" &
    training=$!
    wait_for "^epoch 1 " "$1.log"
    kill -STOP "$training"
    if grep -q "^trained in" "$1.log"; then
        echo "interop: the run is too short to lose its server" >&2
        exit 1
    fi
}

check_tracking() {
    tracking_python=${TRACKING_PYTHON:-$(tests/venv.sh tests/interop/requirements.txt target/tracking-venv)}
    trap stop_server EXIT
    rm -rf "$WORK"
    mkdir -p "$WORK"
    cargo build --release
    start_server

    (run "$WORK/tracked")
    "$tracking_python" tests/interop/check_tracking.py "$WORK/tracked/runs/0001" "$ADDRESS" interop

    # The server goes away after the first epoch, and is back before the end. The run sleeps
    # while the server stops and starts, so that it is not over by then.
    start_and_stop_run "$WORK/outage"
    stop_server
    kill -CONT "$training"
    wait_for "no longer takes reports" "$WORK/outage.log"
    kill -STOP "$training"
    start_server
    kill -CONT "$training"
    wait "$training"
    "$tracking_python" tests/interop/check_tracking.py "$WORK/outage/runs/0001" "$ADDRESS" interop

    # A server that stays away costs only the reports; without one a run does not begin.
    start_and_stop_run "$WORK/away"
    stop_server
    kill -CONT "$training"
    wait "$training"
    test -s "$WORK/away/runs/0001/mlflow_unsent.jsonl"
    test -s "$WORK/away/runs/0001/manifest.json"
    if (run "$WORK/down"); then
        echo "interop: a run began without its server" >&2
        exit 1
    fi
    echo "MLflow: an outage, a server that stays away, and none at all are borne"
}

check_readers() {
    local python folder=target/interop-readers
    python=${READERS_PYTHON:-$(tests/venv.sh tests/interop/readers.txt target/readers-venv)}
    rm -rf "$folder"
    mkdir -p "$folder/training_dynamics"
    cargo build --release
    "$python" tests/interop/make_dynamics.py "$folder/training_dynamics"
    target/release/enginora-rs map "$folder" --no-plots --output "$folder/map"
    target/release/enginora-rs export "$folder" --to cleanlab --output "$folder/cleanlab"
    "$python" tests/interop/check_readers.py "$folder/cleanlab" "$folder/map/td_metrics.jsonl"
}

case "${1:-all}" in
    trainer) check_trainer ;;
    tracking) check_tracking ;;
    readers) check_readers ;;
    all)
        check_trainer
        check_tracking
        check_readers
        ;;
    *)
        echo "usage: tests/interop/run.sh [trainer|tracking|readers]" >&2
        exit 2
        ;;
esac
