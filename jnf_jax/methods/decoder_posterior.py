"""z ~ p(z|x_S) of the model itself: Markov chains through its decoders.

::

    log p(z|x_S) = log p(z) + Σ_{m∈S} λ_m log p(x_m|z) + const

λ_m is the likelihood's weight in training, or 1: the model's own posterior. A missing
modality has no term. The chains start where the amortised posterior drew, so
that how far they climb is a yardstick of the inference gap. With
``ChainSettings("ula", num_adaptation=0, initial_step_size=s)`` a transition is
arXiv 2408.10467's, but for the mass M (there the identity)::

    z' = z + (s²/2) M⁻¹ ∇log p(z|x_S) + s M^{-1/2} ξ,    ξ ~ N(0, I)

and ``ChainSettings("hmc", num_leapfrog=1)`` adds a Metropolis correction, which leaves
the law right at any step size.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.methods.joint_inference import JointInference
from jnf_jax.methods.method import check_subset
from jnf_jax.methods.subset import NUM_ADAPTATION_DATA
from jnf_jax.sampling import (
    ChainDiagnostics,
    ChainInfo,
    ChainSettings,
    adapt_step_size,
    burn_and_keep,
    diagnose,
    run_chains,
)
from jnf_jax.types import Latents, Nats, StageParams, Subset, Views


@dataclasses.dataclass(frozen=True)
class DecoderPosterior:
    """Chains on p(z|x_S); hashable, static under jit.

    The decoders, the prior and λ are those of the amortised inference's joint VAE, the
    diagonal mass that of its bases. β does not enter. Unless ``is_weighted`` λ_m is 1.
    """

    inference: JointInference
    chains: ChainSettings
    is_weighted: bool

    @functools.partial(jax.jit, static_argnums=(0, 3))
    def log_joint(
        self, params: StageParams, views: Views, subset: Subset, z: Latents
    ) -> Nats:
        """log p(z) + Σ_{m∈S} λ_m log p(x_m|z), nats; that is log p(x_S, z) where all
        λ_m are 1 and the prior is normalised."""
        check_subset(subset, self.inference.modalities)
        return self._of_all(params, subset)(z, {m: views[m] for m in subset})

    @functools.partial(jax.jit, static_argnums=(0, 4))
    def adapt(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        z: Latents,
    ) -> Float[Array, ""]:
        """One step size for all data of ``subset``, adapted on the first of them."""
        views = {m: x[:NUM_ADAPTATION_DATA] for m, x in views.items()}
        target, inverse_mass = self._target(params, views, subset)
        start = z[None, :NUM_ADAPTATION_DATA]
        return adapt_step_size(rng_key, *target, start, self.chains, inverse_mass)

    @functools.partial(jax.jit, static_argnums=(0, 4))
    def refine(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        z: Latents,
        step_size: Float[Array, ""],
    ) -> tuple[Latents, ChainInfo]:
        """``chains.num_transitions`` transitions from ``z``, one chain a datum.

        ``step_size`` is as ``adapt`` gave it; ``ChainInfo`` has shapes [1, B].
        """
        target, inverse_mass = self._target(params, views, subset)
        how = (step_size, self.chains, inverse_mass)
        end, info, _ = run_chains(rng_key, *target, z[None], *how)
        return end[0], info

    @functools.partial(jax.jit, static_argnums=(0, 4))
    def diagnose(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        starts: Float[Array, "chains batch latent"],
        step_size: Float[Array, ""],
    ) -> ChainDiagnostics:
        """R-hat and ESS of z and z² after as many transitions as ``refine`` takes.

        The chains run ``num_transitions`` from different amortised draws of one datum,
        and are then observed for as many again.
        """
        target, inverse_mass = self._target(params, views, subset)
        how = (step_size, self.chains, inverse_mass)
        _, draws = burn_and_keep(*jax.random.split(rng_key), *target, starts, *how)
        return diagnose(draws)

    def _target(self, params: StageParams, views: Views, subset: Subset):
        """log p(z|x_S) of z f32[D] and one datum's views, with those of S; and M⁻¹."""
        check_subset(subset, self.inference.modalities)
        given, log_joint = {m: views[m] for m in subset}, self._of_all(params, subset)

        def log_density(z: jax.Array, views: Views) -> jax.Array:
            return log_joint(z[None], {m: x[None] for m, x in views.items()})[0]

        scale = self.inference.base_scale(params, given, subset)
        return (log_density, given), jnp.square(scale)

    def _of_all(self, params: StageParams, subset: Subset):
        """(z f32[B, D], views of S) -> f32[B]."""
        joint = self.inference.joint
        prior = joint.prior_of(params["joint"])
        weights = {v.name: v.weight if self.is_weighted else 1.0 for v in joint.views}

        def log_joint(z: jax.Array, views: Views) -> jax.Array:
            # What is decoded of other modalities is read by nobody: XLA drops it.
            decoded = joint.decode(params["joint"], z)
            terms = [weights[m] * decoded[m].log_prob(views[m]) for m in subset]
            return prior.log_density(z) + sum(terms)

        return log_joint
