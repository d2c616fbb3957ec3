#!/usr/bin/env bash
# Everything an accelerator can tell, in parts of at most ten minutes, one JSON a part:
#
#     benchmarks/accelerator.sh DIR            # parts whose JSON is there are skipped
#     benchmarks/accelerator.sh DIR --small    # the same on a CPU, tiny: for a test
#     benchmarks/accelerator.sh DIR '' --config.data.backgrounds_dir=PICTURES
#
# Run it again until it says that all is done: it goes on where it stopped, and the
# training goes on from its checkpoint. PYTHON=… names the interpreter.
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
small=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
limit=600
missing=()

part() { # part FILE COMMAND...: skipped when FILE is there; stopped after ten minutes
    local file=$out/$1 status=0
    shift
    if [ -s "$file" ]; then
        echo "=== $(basename "$file"): done before"
        return
    fi
    echo "=== $(basename "$file"): $*"
    # SIGTERM makes a training save its state before it leaves.
    timeout --signal=TERM --kill-after=60 "$limit" "$@" || status=$?
    if [ "$status" -ne 0 ] || [ ! -s "$file" ]; then
        missing+=("$(basename "$file") (exit $status)")
    fi
}

config=polymnist/jnf
overrides=(--config.num_seeds=4)
if [ -n "$small" ]; then
    config=digits/jnf_paper
    overrides=(
        --config.num_seeds=2 --config.data.repeats=2
        --config.joint.num_steps=2 --config.unimodal.num_steps=2
        --config.evaluation.num_tuples=64 --config.evaluation.num_prior_samples=64
        --config.evaluation.batch_size=64 --config.evaluation.num_diagnostic_data=4
        --config.evaluation.classifier.num_steps=2
        --config.sampler.num_transitions=4 --config.sampler.num_adaptation=4
    )
fi

# Throughput and share of the matmul peak; time by batch, latent, seeds, chains, devices.
part train_step.json "$python" -m benchmarks.train_step $small --out "$out/train_step.json"
part scaling.json "$python" -m benchmarks.scaling $small --out "$out/scaling.json" --plot "$out/scaling.png"
part subset_sampling.json "$python" -m benchmarks.subset_sampling $small --out "$out/subset_sampling.json"
part evaluate.json "$python" -m benchmarks.evaluate $small --out "$out/evaluate.json"
part langevin.json "$python" -m benchmarks.langevin $small --out "$out/langevin.json"
part operations.json "$python" -m benchmarks.operations $small --out "$out/operations.json"
part startup.json "$python" -m benchmarks.startup $small --out "$out/startup.json"
# The authors' PolyMNIST schedule, both stages and evaluation: many parts, one workdir.
part polymnist.json "$python" -m jnf_jax.train --config "$config" \
    --workdir "$out/polymnist" --out "$out/polymnist.json" "${overrides[@]}" "${@:3}"

if [ "${#missing[@]}" -gt 0 ]; then
    echo "=== run this again; not done yet: ${missing[*]}"
    exit 75 # EX_TEMPFAIL
fi
echo "=== all done: $out"
