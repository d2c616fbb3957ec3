"""JNF and its peers on the same networks and data, trained for equally long.

    python -m jnf_jax.sweep --config ablations/peers --workdir runs/peers

Every method on the digits at β = 1, three seeds; ``digits/equal_seconds`` tells how
many steps each takes. Given again the command goes on where it stopped: it may be run
in parts, as ``timeout 2h …``. With ``:beta`` it is six of them at four β, one seed,
drawn as coherence over the Fréchet distance of joint draws from the model's own prior.

What is not defined for a method is left out of its row: a method without a density has
no log-likelihood. Not yet run.
"""

import ml_collections

ARGUMENTS = {"beta": "six methods at four β"}

METHODS = (
    *("jnf", "jnf_paper", "jnf_shared_cl", "jmvae", "mvae", "mmvae", "mmjsd", "mopoe"),
    *("mvtcae", "mmvae_plus", "mld"),
)
OF_BETA = ("jnf", "jmvae", "mmvae", "mopoe", "mvtcae", "mmvae_plus")

PRIORS = ("normal", "learnable_scale", "laplace", "diffusion")
"""The methods' own, by name."""


def by_own_prior(quantity: str) -> str:
    """The quantity of whichever prior a method has."""
    return "|".join(f"{quantity}.{prior}" for prior in PRIORS)


def get_config(argument: str = "") -> ml_collections.ConfigDict:
    """A row a method, or a method and β."""
    distance = "frechet.frechet_classifier"
    config = ml_collections.ConfigDict(
        dict(
            base="digits/equal_seconds:{method}",
            overrides=(),
            axes=(("method", METHODS),),
            shares=(),
            num_seeds=3,
            quantities=(
                "coherence.conditional.1",
                "coherence.conditional.2",
                by_own_prior("coherence.joint"),
                "coherence.joint.gmm_after|",
                "coherence.ceiling",
                "likelihood.joint.log_prob|",
                f"{distance}.conditional.1",
                f"{distance}.conditional.2",
                by_own_prior(f"{distance}.unconditional"),
                f"{distance}.unconditional.gmm_after|",
                "num_parameters",
                "training_seconds",
            ),
            plot=dict(
                x="method",
                y=("coherence.conditional.1", "coherence.conditional.2"),
                log_x=False,
            ),
        )
    )
    if argument == "beta":
        config.axes = (("method", OF_BETA), ("model.beta", (0.5, 1.0, 2.5, 5.0)))
        config.num_seeds = 1
        config.plot = dict(
            x=by_own_prior(f"{distance}.unconditional"),
            y=("coherence.conditional.2", by_own_prior("coherence.joint")),
            log_x=True,
        )
    return config.lock()
