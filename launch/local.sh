#!/usr/bin/env bash
# Several processes on this machine, one run: they find each other on a free local port.
#
#   launch/local.sh [--dry-run] --processes N [--cpu D] ARGUMENTS OF jnf_jax.train
#
# With --cpu each process has D virtual CPU devices; without it process i has GPU i.
# SIGTERM goes on to all of them: they save the same step and exit 143. The exit status
# is that of the first that failed. PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dry_run=false processes="" cpu=""
while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry_run=true && shift ;;
    --processes) processes=$2 && shift 2 ;;
    --cpu) cpu=$2 && shift 2 ;;
    *) break ;;
    esac
done
if [ -z "$processes" ] || [ $# -eq 0 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi

python=${PYTHON:-python}
port=12355
$dry_run || port=$("$python" -c \
    'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')

pids=()
for ((i = 0; i < processes; i++)); do
    command=(env)
    if [ -n "$cpu" ]; then
        command+=(JAX_PLATFORMS=cpu "JAX_NUM_CPU_DEVICES=$cpu")
    else
        command+=("CUDA_VISIBLE_DEVICES=$i")
    fi
    command+=("$python" -m jnf_jax.distributed --coordinator "localhost:$port"
        --num_processes "$processes" --process_id "$i" jnf_jax.train "$@")
    if $dry_run; then
        printf '%q ' "${command[@]}" && echo
    else
        "${command[@]}" &
        pids+=($!)
    fi
done
$dry_run && exit 0

trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' TERM INT
status=0
for pid in "${pids[@]}"; do
    own=0
    wait "$pid" || own=$?
    # A signal that was passed on ends `wait`, not the process.
    while kill -0 "$pid" 2>/dev/null; do
        own=0
        wait "$pid" || own=$?
    done
    [ "$status" -ne 0 ] || status=$own
done
exit "$status"
