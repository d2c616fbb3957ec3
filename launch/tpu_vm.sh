#!/usr/bin/env bash
# A Cloud TPU VM, or all workers of a pod slice: from nothing to logs, and back.
#
#   launch/tpu_vm.sh [--dry-run] create|setup|logs|delete NAME
#   launch/tpu_vm.sh [--dry-run] run NAME ARGUMENTS OF jnf_jax.train
#
# ZONE, TYPE and VERSION choose the machine. `setup` copies the commit that is checked
# out here and installs it; `run` starts one process a worker and returns; `logs` follows
# the first worker's. --workdir must be on a file system that all workers see (a Filestore
# share or a mounted bucket); on a single worker any directory does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ZONE=${ZONE:-us-east5-b} TYPE=${TYPE:-v6e-8} VERSION=${VERSION:-v2-alpha-tpuv6e}

dry_run=false
[ "${1:-}" != --dry-run ] || { dry_run=true && shift; }
if [ $# -lt 2 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
action=$1 name=$2
shift 2
run() {
    if $dry_run; then printf '%q ' "$@" && echo; else "$@"; fi
}
on() { # on WORKER COMMAND: there, in the home directory
    run gcloud compute tpus tpu-vm ssh "$name" --zone "$ZONE" --worker "$1" \
        --command "$2"
}

case $action in
create)
    run gcloud compute tpus tpu-vm create "$name" --zone "$ZONE" \
        --accelerator-type "$TYPE" --version "$VERSION"
    ;;
setup)
    archive=$(mktemp -d)/jnf_jax.tar.gz
    run git archive --output "$archive" HEAD
    run gcloud compute tpus tpu-vm scp "$archive" "$name:jnf_jax.tar.gz" \
        --zone "$ZONE" --worker all
    # The images' own Python is older than 3.11: uv brings one.
    on all "mkdir -p jnf_jax && tar -xzf jnf_jax.tar.gz -C jnf_jax && cd jnf_jax && \
curl -LsSf https://astral.sh/uv/install.sh | sh && \
~/.local/bin/uv venv --python 3.11 .venv && \
~/.local/bin/uv pip install -e '.[tpu]' -c constraints.txt"
    ;;
run)
    on all "cd jnf_jax && nohup .venv/bin/python -m jnf_jax.distributed \
--coordinator auto jnf_jax.train $(printf '%q ' "$@") > run.log 2>&1 < /dev/null &"
    ;;
logs) on 0 "tail -n 100 -f jnf_jax/run.log" ;;
delete) run gcloud compute tpus tpu-vm delete "$name" --zone "$ZONE" --quiet ;;
*)
    echo "unknown action $action, expected create, setup, run, logs or delete" >&2
    exit 2
    ;;
esac
