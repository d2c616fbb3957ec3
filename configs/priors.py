"""Learnt priors for the config of any method; not runs of their own."""

import ml_collections

ARGUMENTS = dict(
    mixture="fifty normals with diagonal covariances, by gradient ascent",
    gmm="a mixture of normals with full covariances, by EM",
    maf="a masked autoregressive flow",
    ebm="an energy, by contrast with short-run Langevin chains",
    diffusion="a latent diffusion",
)
"""What a family of priors fitted afterwards is asked for."""

FITTED = dict(
    mixture=dict(name="mixture", kind="normal", num_components=50, learns_scales=True),
    gmm=dict(name="gmm", num_components=50),
    maf=dict(
        name="flow", num_blocks=2, hidden_sizes=(128, 128, 128), max_log_scale=2.0
    ),
    ebm=dict(
        name="energy",
        hidden_sizes=(200, 200),
        num_steps=60,
        step_size=0.02,
        draw_steps=-1,
        draw_step_size=0.0,
    ),
    diffusion=dict(name="diffusion", hidden_size=256, num_layers=3, num_steps=250),
)
"""The same -> the density and its options."""

MIXTURE = dict(name="mixture", kind="normal", num_components=40)
"""CMVAE's prior, learnt with the joint VAE."""

LONG = dict(num_steps=4_000, batch_size=256, schedule="cosine")
LONGER = dict(mixture=40_000, maf=40_000, diffusion=40_000)
"""Steps of stage ``prior`` alone, for latents of 64 and more. On PolyMNIST within the
CPU budget a flow had .20 of joint coherence after 4,000, .34 after these, a diffusion
.11 and .42. An energy's 4,000, with chains, take longer than these."""

FITTING = dict(
    mixture=dict(LONG, learning_rate=1e-2),
    gmm=dict(num_steps=1, batch_size=256, select="last"),
    maf=LONG,
    ebm=dict(LONG, learning_rate=1e-3, select="last"),
    diffusion=LONG,
)
"""The same -> how stage ``prior`` trains it; EM sees one draw a training tuple."""


def fitted_afterwards(
    config: ml_collections.ConfigDict, argument: str, **options
) -> ml_collections.ConfigDict:
    """``config`` and then a stage ``prior`` that fits a density of ``ARGUMENTS``."""
    config.stages += ",prior"
    with config.unlocked():
        config.fitted_prior = FITTED[argument] | options
        config.prior = FITTING[argument]
    return config


def on_checkpoints(
    config: ml_collections.ConfigDict, argument: str, **options
) -> ml_collections.ConfigDict:
    """Stage ``prior`` alone, on the joint VAE of another run; subsets are that run's.

    For large latents: what is cheap takes ``LONGER``.
    The run is named on the command line: ``--config.init.joint=DIR``.
    """
    config = fitted_afterwards(config, argument, **options)
    config.stages = "prior"
    config.evaluation.subsets = "none"
    config.prior.num_steps = LONGER.get(argument, config.prior.num_steps)
    return config


def energy_from(
    config: ml_collections.ConfigDict, step: int, rate_factor: float = 1.0, **options
) -> ml_collections.ConfigDict:
    """An energy-based prior that stage ``joint`` learns from ``step`` on.

    f learns ``rate_factor`` times as fast as the VAE. N(0, I) is the reference unless
    ``options`` name another; other settings are those of arXiv 2006.08205 (its s = 0.4
    is the step size 0.08). The last parameters are kept, and no plateau is looked for:
    the loss with an unnormalised prior is no bound.
    """
    own = dict(reference="normal", reference_scale=1.0, confinement=0.0, step_size=0.08)
    with config.unlocked():
        config.model.prior = FITTED["ebm"] | own
        config.model.prior.update(options)
        config.joint.update(prior_start_step=step, select="last")
        config.joint.prior_rate_factor = rate_factor
        if config.optimizer.schedule == "plateau":
            config.joint.schedule = "cosine"
    return config
