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
    draw_matched,
)
from jnf_jax.methods.unimodal import UnimodalPosterior, posteriors_of
from jnf_jax.priors.family import BoundPrior, PriorFamily
from jnf_jax.sampling import (
    ChainDiagnostics,
    ChainSettings,
    GaussianProduct,
    MatchedNormal,
    adapt_step_size,
    burn_and_keep,
    diagnose,
    initial_positions,
    matched_product,
    product_log_density,
    run_chains,
)
from jnf_jax.types import GaussianCode, Params, StageParams, Subset, Views

NUM_ADAPTATION_DATA = 128
"""Data whose chains share in adapting a subset's step size."""

NUM_MATCHING_POINTS = 4
"""Draws of an expert at which its normal is matched."""

LEAST_QUOTIENT = 0.05
"""Least precision of the normal that chains are whitened by, as a share of that without
the division: where the quotient has less, or none, it is not to be believed."""

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
        priors = self._priors(params)
        if self._is_closed:
            if self.divisor.is_standard_normal:
                return draw_gaussian(key, codes)
            return draw_matched(key, self._match(priors, flows, codes))
        if step_size is None:
            step_size = self.adapt(params, adapt_key, views, subset)
        matched = self._match(priors, flows, codes)
        return self._draw_product(priors, flows, key, codes, matched, step_size)

    def adapt(
        self, params: StageParams, rng_key: jax.Array, views: Views, subset: Subset
    ) -> Float[Array, ""] | None:
        """One step size for all data of ``subset``; None where no chain is needed."""
        check_subset(subset, self.modalities)
        if self._is_closed or not 1 < len(subset) < len(self.modalities):
            return None
        views = {m: views[m][:NUM_ADAPTATION_DATA] for m in subset}
        flows, codes = self._experts_of(params, views, subset)
        priors = self._priors(params)
        matched = self._match(priors, flows, codes)
        return self._adapt_product(priors, flows, rng_key, codes, matched)

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
        priors = self._priors(params)
        matched = self._match(priors, flows, codes)
        return self._diagnose_product(priors, flows, rng_key, codes, matched, step_size)

    def posteriors(
        self, params: StageParams, views: Views, subset: Subset
    ) -> list[distrax.Distribution]:
        """The experts of ``subset``: of the product no density is known."""
        experts = zip(*self._experts_of(params, views, subset), strict=True)
        return [self._family.distribution(*expert) for expert in experts]

    def log_product(
        self,
        params: StageParams,
        views: Views,
        subset: Subset,
        z: Float[Array, "samples batch latent"],
    ) -> Float[Array, "samples batch"]:
        """log π_S(z) of the product that chains sample, nats up to a constant a datum;
        of all views too."""
        flows, codes = self._experts_of(params, views, subset)
        log_density = self._log_density(self._priors(params), flows)
        return jax.vmap(jax.vmap(log_density), (0, None))(z, codes)

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
    def divisor(self) -> PriorFamily:
        """The family of d; of a reference, that of the energy prior which has it."""
        is_fitted = self.quotient.divisor == "fitted"
        return self.fitted if is_fitted else self.joint.prior

    @property
    def _is_closed(self) -> bool:
        """Whether a normal divides Gaussian experts."""
        is_plain = not (self._family.blocks or self.quotient.defensive_weight)
        return is_plain and self.divisor.is_normal

    def _priors(self, params: StageParams) -> StageParams:
        return {stage: params[stage] for stage in self.quotient.stages}

    def _divisor_of(self, priors: StageParams) -> BoundPrior:
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
    def _match(self, priors, flows, codes) -> MatchedNormal:
        """The normal like π_S, in whose coordinates v chains run. Found once a datum,
        outside of them: a factorisation inside compiles for minutes."""
        match = functools.partial(
            self._family.matched_normal, num_points=NUM_MATCHING_POINTS
        )
        normals = map(match, flows, codes)
        mean, precision = (jnp.stack(each) for each in zip(*normals, strict=True))
        return matched_product(
            mean,
            precision,
            *self._divisor_of(priors).moments(),
            defensive_weight=self.quotient.defensive_weight,
            floor=None if self._is_closed else LEAST_QUOTIENT,
        )

    @functools.partial(jax.jit, static_argnums=0)
    def _draw_product(self, priors, flows, rng_key, codes, matched, step_size):
        start_key, chain_key = jax.random.split(rng_key)
        v, info, _ = run_chains(
            chain_key,
            *self._whitened(priors, flows, codes, matched),
            jax.random.normal(start_key, (1, *matched.mean.shape)),
            step_size,
            self.chains,
        )
        is_proper = self._base_product(priors, codes).is_proper
        improper = None if is_proper is None else ~is_proper
        acceptance, divergences = info.acceptance.mean(0), info.divergences.sum(0)
        how = SubsetInfo(step_size, acceptance, divergences, improper)
        return matched.colour(v[0]), how

    @functools.partial(jax.jit, static_argnums=0)
    def _adapt_product(self, priors, flows, rng_key, codes, matched):
        start_key, chain_key = jax.random.split(rng_key)
        return adapt_step_size(
            chain_key,
            *self._whitened(priors, flows, codes, matched),
            jax.random.normal(start_key, (1, *matched.mean.shape)),
            self.chains,
        )

    @functools.partial(jax.jit, static_argnums=0)
    def _diagnose_product(self, priors, flows, rng_key, codes, matched, step_size):
        start_key, burn_key, chain_key = jax.random.split(rng_key, 3)
        _, v = burn_and_keep(
            burn_key,
            chain_key,
            *self._whitened(priors, flows, codes, matched),
            matched.whiten(self._apart(start_key, flows, codes)),
            step_size,
            self.chains,
        )
        return diagnose(matched.colour(v))

    def _base_product(self, priors, codes) -> GaussianProduct:
        return base_product(codes, self._divisor_of(priors), self.quotient)

    def _apart(self, rng_key, flows, codes):
        """f32[R, B, D]: draws of the experts in turn, in latent space."""
        choice_key, *keys = jax.random.split(rng_key, len(codes) + 1)
        draws = [
            self._family.distribution(flow, code).sample(
                seed=key, sample_shape=NUM_DIAGNOSTIC_CHAINS
            )
            for flow, code, key in zip(flows, codes, keys, strict=True)
        ]
        return initial_positions(choice_key, jnp.stack(draws))

    def _whitened(self, priors, flows, codes, matched):
        """log π_S as a function of v f32[D] and one datum's context; all contexts."""
        log_density = self._log_density(priors, flows)

        def of_v(v: jax.Array, context: tuple) -> jax.Array:
            codes, matched = context
            return log_density(matched.colour(v), codes)

        return of_v, (codes, matched)

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
