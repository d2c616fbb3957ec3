"""Methods that JNF is compared with, on any config; not runs of their own."""

import ml_collections

ARGUMENTS = dict(
    mvae="a product of experts and the prior, by sub-sampled ELBOs",
    mmvae="a mixture of experts, by an importance-weighted bound",
    mmjsd="a mixture of experts, by their divergence from a prior made of them",
    mopoe="a mixture of the products over all subsets",
    mvtcae="a product of experts, by total correlation",
)
"""Methods whose posterior is made of unimodal ones."""


def of_method(
    config: ml_collections.ConfigDict, method: str, **own
) -> ml_collections.ConfigDict:
    """``config`` of JNF with that method: one stage, neither flows nor chains.

    ``own`` are settings of the section that has the method's name.
    """
    with config.unlocked():
        config.method = method
        config.stages = "joint"
        if own:
            config[method] = own
        if method == "mmvae":
            kind = own.get("family", "laplace")
            config.model.prior = dict(name="learnable_scale", kind=kind)
        del config.flow, config.sampler, config.unimodal
    return config


AS_PUBLISHED = dict(learning_rate=1e-4, schedule="constant")
"""How the code of arXiv 2306.04445 trains the diffusion of MLD."""


def latent_diffusion(
    config: ml_collections.ConfigDict, diffusion: dict, **own
) -> ml_collections.ConfigDict:
    """``config`` of JNF with MLD: autoencoders are trained as its joint VAE was.

    ``diffusion`` says how stage ``joint`` is trained, of whose parameters the average
    is kept; ``own`` are settings of the section ``mld``.
    """
    with config.unlocked():
        config.method = "mld"
        config.stages = "autoencoders,joint"
        config.mld = own
        config.autoencoders = config.joint
        config.joint = dict(ema_decay=0.999, select="last") | diffusion
        del config.flow, config.sampler, config.unimodal
    return config
