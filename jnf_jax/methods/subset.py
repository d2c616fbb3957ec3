"""z ~ q(z|x_S) for any subset S, from unimodal experts, a prior and a joint encoder.

=============  ==================================================================
|S| = 1        exact: a draw of the expert itself
1 < |S| < M    Markov chains on Π_j q_j(z|x_j) / d(z)^(|S|−1), d the prior or what
               ``product.py`` has in its place; in closed form where every expert is
               Gaussian and d is N(0, I)
|S| = M        the joint encoder q(z|X)
=============  ==================================================================
"""

import dataclasses
import functools
from collections.abc import Callable

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.methods.fitted_prior import bind_whitened
from jnf_jax.methods.joint_inference import JointInference
from jnf_jax.methods.method import (
    SubsetInfo,
    check_subset,
)
from jnf_jax.methods.product import (
    Quotient,
    base_product,
    draw_gaussian,
)
from jnf_jax.methods.unimodal import UnimodalPosterior, posteriors_of
from jnf_jax.sampling import (
    ChainDiagnostics,
    ChainSettings,
    GaussianProduct,
    adapt_step_size,
    burn_and_keep,
    diagnose,
    initial_positions,
    product_log_density,
    run_chains,
)
from jnf_jax.types import GaussianCode, Params, Prior, StageParams, Subset, Views

NUM_ADAPTATION_DATA = 128
"""Data whose chains share in adapting a subset's step size."""

NUM_DIAGNOSTIC_CHAINS = 4
"""Chains a datum for R-hat and ESS, started from different experts."""


@dataclasses.dataclass(frozen=True)
class SubsetInference(JointInference):
    """Inference of a method with a joint VAE and experts; hashable, static under jit.

    Attributes:
        experts: One unimodal posterior a modality.
        expert_params: ``params by stage -> {m: parameters}`` of the experts.
        chains: How subsets with 1 < |S| < M are sampled.
        quotient: What products are divided by.
    """

    experts: tuple[UnimodalPosterior, ...]
    expert_params: Callable[[StageParams], dict[str, Params]]
    chains: ChainSettings
    quotient: Quotient = Quotient()

    def infer(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        step_size: Float[Array, ""] | None = None,
    ) -> tuple[Float[Array, "batch latent"], SubsetInfo | None]:
        """z f32[B, D]; each x_j is encoded once, before chains."""
        check_subset(subset, self.modalities)
        key, adapt_key = jax.random.split(rng_key)
        if len(subset) == len(self.modalities):
            return self.draw_joint(params["joint"], key, dict(views)), None
        flows, codes = self._experts_of(params, views, subset)
        if len(subset) == 1:
            return self._draw_expert(flows[0], key, codes[0]), None
        if self._is_gaussian:
            return draw_gaussian(key, codes)
        if step_size is None:
            step_size = self.adapt(params, adapt_key, views, subset)
        return self._draw_product(self._priors(params), flows, key, codes, step_size)

    def adapt(
        self, params: StageParams, rng_key: jax.Array, views: Views, subset: Subset
    ) -> Float[Array, ""] | None:
        """One step size for all data of ``subset``; None where no chain is needed."""
        check_subset(subset, self.modalities)
        if self._is_gaussian or not 1 < len(subset) < len(self.modalities):
            return None
        views = {m: views[m][:NUM_ADAPTATION_DATA] for m in subset}
        flows, codes = self._experts_of(params, views, subset)
        return self._adapt_product(self._priors(params), flows, rng_key, codes)

    def diagnose(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        step_size: Float[Array, ""] | None,
    ) -> ChainDiagnostics | None:
        """R-hat and ESS of z and z² after the transitions that a draw goes through.

        Four chains a datum start from different experts, run ``num_transitions``, and
        are then observed for as many again. None where no chain is needed.
        """
        if step_size is None:
            return None
        flows, codes = self._experts_of(params, views, subset)
        return self._diagnose_product(
            self._priors(params), flows, rng_key, codes, step_size
        )

    def posteriors(
        self, params: StageParams, views: Views, subset: Subset
    ) -> list[distrax.Distribution]:
        """The experts of ``subset``: of the product no density is known."""
        experts = zip(*self._experts_of(params, views, subset), strict=True)
        return [self._family.distribution(*expert) for expert in experts]

    def base_scale(
        self, params: StageParams, views: Views, subset: Subset
    ) -> Float[Array, "batch latent"]:
        """How wide q(z|x_S) is in each dimension, before any flow; f32[B, D]."""
        if len(subset) == len(self.modalities):
            return self.joint.code(params["joint"], views).scale
        _, codes = self._experts_of(params, views, subset)
        return self._base_product(self._priors(params), codes).scale

    def unimodal_log_probs(
        self, params: StageParams, views: Views, z: Float[Array, "batch latent"]
    ) -> dict[str, Float[Array, " batch"]]:
        """{m: log q_m(z|x_m)} of every expert; nats."""
        densities = posteriors_of(self.experts, self.expert_params(params), views)
        return {m: density.log_prob(z) for m, density in densities.items()}

    # What follows is compiled. All experts have one family, as ``build_method`` makes
    # them. Experts come as tuples without names and share one architecture of flow, so
    # that a program is compiled for each |S|, not each subset.

    @property
    def _family(self) -> UnimodalPosterior:
        return self.experts[0]

    @property
    def _is_gaussian(self) -> bool:
        is_closed = self.joint.prior.is_standard_normal and self.quotient == Quotient()
        return is_closed and not self._family.blocks

    def _priors(self, params: StageParams) -> StageParams:
        return {stage: params[stage] for stage in self.quotient.stages}

    def _divisor_of(self, priors: StageParams) -> Prior:
        """d(z), from what ``_priors`` gave."""
        if self.quotient.divisor == "fitted":
            return bind_whitened(self.fitted, priors["prior"], self.joint.latent_size)
        prior = self.joint.prior_of(priors["joint"])
        return prior.reference if self.quotient.divisor == "reference" else prior

    def _experts_of(
        self, params: StageParams, views: Views, subset: Subset
    ) -> tuple[tuple[Params, ...], tuple[GaussianCode, ...]]:
        """Flow parameters and codes of the members of ``subset``, in sorted order."""
        members = [expert for expert in self.experts if expert.name in subset]
        expert_params = self.expert_params(params)
        return (
            tuple(expert_params[expert.name]["flow"] for expert in members),
            tuple(
                _encode(expert, expert_params[expert.name], views[expert.name])
                for expert in members
            ),
        )

    @functools.partial(jax.jit, static_argnums=0)
    def _draw_expert(self, flow: Params, rng_key: jax.Array, code: GaussianCode):
        return self._family.distribution(flow, code).sample(seed=rng_key)

    @functools.partial(jax.jit, static_argnums=0)
    def _draw_product(self, priors, flows, rng_key, codes, step_size):
        start_key, chain_key = jax.random.split(rng_key)
        product = self._base_product(priors, codes)
        position, info, _ = run_chains(
            chain_key,
            self._log_density(priors, flows),
            codes,
            self._starts(start_key, flows, codes, num_chains=1),
            step_size,
            self.chains,
            jnp.square(product.scale),
        )
        improper = None if product.is_proper is None else ~product.is_proper
        acceptance, divergences = info.acceptance.mean(0), info.divergences.sum(0)
        return position[0], SubsetInfo(step_size, acceptance, divergences, improper)

    @functools.partial(jax.jit, static_argnums=0)
    def _adapt_product(self, priors, flows, rng_key, codes):
        start_key, chain_key = jax.random.split(rng_key)
        return adapt_step_size(
            chain_key,
            self._log_density(priors, flows),
            codes,
            self._starts(start_key, flows, codes, num_chains=1),
            self.chains,
            jnp.square(self._base_product(priors, codes).scale),
        )

    @functools.partial(jax.jit, static_argnums=0)
    def _diagnose_product(self, priors, flows, rng_key, codes, step_size):
        start_key, burn_key, chain_key = jax.random.split(rng_key, 3)
        log_density = self._log_density(priors, flows)
        inverse_mass = jnp.square(self._base_product(priors, codes).scale)
        position = self._starts(
            start_key, flows, codes, NUM_DIAGNOSTIC_CHAINS, round_robin=True
        )
        _, draws = burn_and_keep(
            burn_key,
            chain_key,
            log_density,
            codes,
            position,
            step_size,
            self.chains,
            inverse_mass,
        )
        return diagnose(draws)

    def _base_product(self, priors, codes) -> GaussianProduct:
        return base_product(codes, self._divisor_of(priors), self.quotient)

    def _starts(self, rng_key, flows, codes, num_chains, round_robin=False):
        """f32[R, B, D]: draws of the experts, in latent space (after the flow)."""
        choice_key, *keys = jax.random.split(rng_key, len(codes) + 1)
        draws = [
            self._family.distribution(flow, code).sample(
                seed=key, sample_shape=num_chains
            )
            for flow, code, key in zip(flows, codes, keys, strict=True)
        ]
        return initial_positions(choice_key, jnp.stack(draws), round_robin=round_robin)

    def _log_density(self, priors: StageParams, flows: tuple[Params, ...]):
        """(z f32[D], codes of one datum) -> log π_S(z)."""
        # Bound here, outside the chains: a prior may run an encoder to be made.
        log_divisor = self._divisor_of(priors).chain_log_density
        weight = self.quotient.defensive_weight

        def log_density(z: jax.Array, codes: tuple[GaussianCode, ...]) -> jax.Array:
            experts = [
                self._family.distribution(flow, code).log_prob
                for flow, code in zip(flows, codes, strict=True)
            ]
            return product_log_density(experts, log_divisor, defensive_weight=weight)(z)

        return log_density


@functools.partial(jax.jit, static_argnums=0)
def _encode(expert: UnimodalPosterior, params: Params, x: jax.Array) -> GaussianCode:
    return expert.encode(params, x)
