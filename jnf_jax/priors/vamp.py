"""VampPrior (arXiv 1705.07120): a mixture of the encoder's answers to pseudo-inputs."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jnf_jax.options import option
from jnf_jax.priors.family import PriorFamily
from jnf_jax.priors.mixture import KINDS, MixturePrior
from jnf_jax.types import Params, Shapes


@dataclasses.dataclass(frozen=True)
class VampFamily(PriorFamily):
    """p(z) = (1/C) Σ_c q(z|U_c), with pseudo-tuples U_c that are learnt.

    U = sigmoid of free parameters, so that pseudo-inputs stay in [0, 1] as pixels do.
    Where q(z|X) is a mixture of M experts, p(z) has C M components.
    """

    reads_views: ClassVar[bool] = True

    name: str = "vamp"
    num_components: int = option(50, "Number of pseudo-tuples, C.", at_least=1)
    kind: str = option(
        "normal",
        'Each component, "normal" or "laplace": as the encoder\'s posterior is.',
        one_of=KINDS,
    )

    def faults_beside(self, posterior: str, field: str) -> list[str]:
        """A component is of the kind that posteriors are."""
        if self.kind == posterior:
            return []
        return [
            f"`{field}.kind` is {self.kind!r}, expected {posterior!r}: the prior "
            "'vamp' is a mixture of the encoder's own posteriors"
        ]

    def init(self, rng_key: jax.Array, latent_size: int, shapes: Shapes) -> Params:
        """{m: f32[C, ...]}: logits of the pseudo-inputs, standard normal."""
        keys = jax.random.split(rng_key, len(shapes))
        return {
            m: jax.random.normal(key, (self.num_components, *shapes[m]))
            for m, key in zip(sorted(shapes), keys, strict=True)
        }

    def bind(self, params: Params, latent_size: int, encode=None) -> MixturePrior:
        """The mixture that the encoder makes of the pseudo-inputs."""
        if encode is None:
            raise ValueError("`encode` is None, expected the encoder to make p(z) of")
        code = encode(jax.tree.map(jax.nn.sigmoid, params))
        return MixturePrior(jnp.zeros(len(code.mean)), code.mean, code.scale, self.kind)
