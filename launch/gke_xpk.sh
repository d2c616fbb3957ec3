#!/usr/bin/env bash
# TPU slices of a GKE cluster through xpk (https://github.com/AI-Hypercomputer/xpk).
#
#   launch/gke_xpk.sh [--dry-run] create|delete-cluster
#   launch/gke_xpk.sh [--dry-run] run NAME ARGUMENTS OF jnf_jax.train
#   launch/gke_xpk.sh [--dry-run] logs|delete NAME
#
# CLUSTER, ZONE, TYPE and SLICES choose where. The image is built from this directory.
# --workdir must be on a volume that all workers see.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CLUSTER=${CLUSTER:-jnf-jax} ZONE=${ZONE:-us-east5-b} TYPE=${TYPE:-v6e-16}
SLICES=${SLICES:-1}

dry_run=false
[ "${1:-}" != --dry-run ] || { dry_run=true && shift; }
action=${1:-} name=${2:-}
case $action in
create | delete-cluster) shift 1 ;;
run | logs | delete) [ -n "$name" ] && shift 2 || action="" ;;
*) action="" ;;
esac
if [ -z "$action" ]; then
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
run() {
    if $dry_run; then printf '%q ' "$@" && echo; else "$@"; fi
}
where=(--cluster "$CLUSTER" --zone "$ZONE")

case $action in
create)
    run xpk cluster create "${where[@]}" --tpu-type "$TYPE" --num-slices "$SLICES"
    ;;
run)
    run xpk workload create "${where[@]}" --workload "$name" --tpu-type "$TYPE" \
        --num-slices "$SLICES" --base-docker-image python:3.11 --script-dir . \
        --command "pip install -e '.[tpu]' -c constraints.txt && \
JNF_JAX_JOB=$name python -m jnf_jax.distributed --coordinator auto jnf_jax.train \
$(printf '%q ' "$@")"
    ;;
logs) run kubectl logs --follow --selector "jobset.sigs.k8s.io/jobset-name=$name" ;;
delete) run xpk workload delete "${where[@]}" --workload "$name" ;;
delete-cluster) run xpk cluster delete "${where[@]}" ;;
esac
