"""Langevin sampling of an energy-based prior: 10,000 latents × 60 steps.

    python -m benchmarks.langevin --out langevin.json

D = 64, the 200-200 network of arXiv 2006.08205 with random weights, a normal reference.
"""

import statistics

from benchmarks import measuring

LATENT_SIZE, REPEATS = 64, 7


def main() -> None:
    """Compiles once, then times several calls."""
    flags = measuring.read_flags(__doc__)
    import jax

    from jnf_jax.priors.energy import EnergyFamily

    num_draws = 100 if flags.small else 10_000
    family = EnergyFamily()
    shapes = jax.eval_shape(lambda: family.init(jax.random.key(0), LATENT_SIZE, {}))
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
        return family.bind(params, LATENT_SIZE).run(rng_key, num_draws)

    _, run = draw(params, jax.random.key(0))
    if bool((run.first_bad_step > 0).any()):
        raise SystemExit("chains diverged: what is timed would be no sampling")
    seconds = [
        measuring.seconds_of(lambda n=number: draw(params, jax.random.key(n)))
        for number in range(REPEATS)
    ]
    record = {
        "num_draws": num_draws,
        "num_steps": family.num_steps,
        "latent_size": LATENT_SIZE,
        "hidden_sizes": family.hidden_sizes,
        "seconds": statistics.median(seconds),
        "seconds_each": seconds,
    }
    measuring.write_record(flags, "langevin", record)


if __name__ == "__main__":
    main()
