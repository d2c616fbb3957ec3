"""Methods on the digits, trained for about equally long: the rows of ablations/peers.

    python -m jnf_jax.train --config digits/equal_seconds:mopoe --workdir runs/mopoe

All settings are those of the method's own config in this folder, but for the number of
steps: that of each stage is scaled so that all stages together take ``SECONDS``, about
what digits/jnf takes as it stands. ``MILLISECONDS`` of a step are those of one quiet
core: of digits/jnf_paper, JNF-Shared and MMVAE+ from what their records took, of others
in proportion to the multiplications of encoders and decoders. They are estimates: the
seconds that a run took are in its record. A mixture of normals is fitted afterwards to
the draws of every method; log p(X) and Fréchet distances are measured too. None was run
yet: jnf, jnf_paper, jnf_shared_cl, jmvae, mvae, mmvae, mmjsd, mopoe, mvtcae, mmvae_plus
and mld, which has neither a density nor use for a mixture.
"""

import importlib

import ml_collections

from jnf_jax.configs import priors

ARGUMENTS = dict(
    jnf="one flow for every subset",
    jnf_paper="a flow a modality, products by chains",
    jnf_shared_cl="likewise, on contrastive projectors",
    jmvae="Gaussian encoders, trained with the joint one",
    mvae="a product of experts and the prior, by sub-sampled ELBOs",
    mmvae="a mixture of experts, by an importance-weighted bound",
    mmjsd="a mixture of experts, by their divergence from a prior made of them",
    mopoe="a mixture of the products over all subsets",
    mvtcae="a product of experts, by total correlation",
    mmvae_plus="a mixture of experts with shared and private latents",
    mld="autoencoders and a diffusion of their codes",
)

SECONDS = 600

MILLISECONDS = dict(
    jnf=dict(joint=58, subsets=10),
    jnf_paper=dict(joint=58, unimodal=32),
    jnf_shared_cl=dict(shared=125, joint=58, unimodal=10),
    jmvae=dict(joint=80),
    mvae=dict(joint=116),
    mmvae=dict(joint=116),
    mmjsd=dict(joint=116),
    mopoe=dict(joint=62),
    mvtcae=dict(joint=60),
    mmvae_plus=dict(joint=159),
    mld=dict(autoencoders=58, joint=5),
)
"""Of a step of each stage."""


def get_config(argument: str) -> ml_collections.ConfigDict:
    """The method's own config, with as many steps as fit into ``SECONDS``."""
    name, _, own = argument.partition("_shared_")
    name = f"{name}_shared" if own else name
    module = importlib.import_module(f"jnf_jax.configs.digits.{name}")
    config = module.get_config(*([own] if own else []))
    each = MILLISECONDS[argument]
    seconds = sum(config[stage].num_steps * ms / 1e3 for stage, ms in each.items())
    with config.unlocked():
        for stage in each:
            own = config[stage].num_steps * SECONDS / seconds
            config[stage].num_steps = 10 * round(own / 10)
        config.evaluation.measures = "frechet"
        if argument == "mld":
            return config
        config.evaluation.measures = "likelihood,frechet"
        config.evaluation.likelihood.update(
            num_tuples=250, num_conditional_tuples=20, num_conditional_samples=25
        )
    return priors.fitted_afterwards(config, "gmm")
