"""A factorised prior whose scales are learnt, as in MMVAE (arXiv 1911.03393)."""

import dataclasses

import jax
import jax.numpy as jnp

from jnf_jax.losses import LogRatio, gaussian_kl, sampled_log_ratio
from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior, PriorFamily
from jnf_jax.priors.laplace import LaplacePrior
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.types import Params, Shapes

KINDS = {"normal": NormalPrior, "laplace": LaplacePrior}


@dataclasses.dataclass(frozen=True)
class LearnableScaleFamily(PriorFamily):
    """Π_d k(z_d; 0, b_d) with b = D softmax(ℓ): scales that average to one."""

    name: str = "learnable_scale"
    kind: str = option("laplace", 'k, "normal" or "laplace".', one_of=KINDS)

    @property
    def log_ratio(self) -> LogRatio:
        """Closed where p is normal."""
        return gaussian_kl if self.kind == "normal" else sampled_log_ratio

    def init(self, rng_key: jax.Array, latent_size: int, shapes: Shapes) -> Params:
        """{"logits": f32[D]}: all scales 1."""
        return {"logits": jnp.zeros(latent_size)}

    def bind(self, params: Params, latent_size: int, encode=None) -> BoundPrior:
        scale = jax.nn.softmax(params["logits"]) * latent_size
        return KINDS[self.kind](latent_size, scale)
