"""Langevin sampling of an energy-based prior: 10,000 latents × 60 steps.

    python -m benchmarks.langevin --out benchmarks/langevin.json

D = 64, the 200-200 network of arXiv 2006.08205 with random weights, a normal reference.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import jax

from jnf_jax import logs
from jnf_jax.priors.energy import EnergyFamily

LATENT_SIZE, NUM_DRAWS, REPEATS = 64, 10_000, 7


def main() -> None:
    """Compiles once, times several calls, prints the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the record to this JSON file")
    out = parser.parse_args().out
    family = EnergyFamily()
    shapes = jax.eval_shape(
        lambda: family.init(jax.random.key(0), LATENT_SIZE, {}),
    )
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    # The last layer starts at zero: random weights instead, of the usual size.
    params = tree.unflatten(
        [
            jax.random.normal(key, leaf.shape) * leaf.shape[0] ** -0.5
            for key, leaf in zip(keys, leaves, strict=True)
        ]
    )

    @jax.jit
    def draw(params, rng_key):
        return family.bind(params, LATENT_SIZE).run(rng_key, NUM_DRAWS)

    seconds = []
    for number in range(1 + REPEATS):
        begin = time.perf_counter()
        z, run = jax.block_until_ready(draw(params, jax.random.key(number)))
        seconds.append(time.perf_counter() - begin)
    if bool((run.first_bad_step > 0).any()):
        raise SystemExit("chains diverged: what was timed is no sampling")
    record = {
        "benchmark": "langevin",
        "command": "python -m benchmarks.langevin",
        **logs.describe_run(),
        "num_draws": NUM_DRAWS,
        "num_steps": family.num_steps,
        "latent_size": LATENT_SIZE,
        "hidden_sizes": family.hidden_sizes,
        "compile_seconds": seconds[0],
        "seconds": statistics.median(seconds[1:]),
        "seconds_each": seconds[1:],
    }
    text = json.dumps(record, indent=2) + "\n"
    print(text, end="")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)


if __name__ == "__main__":
    main()
