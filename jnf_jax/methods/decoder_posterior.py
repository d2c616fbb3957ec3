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

Chains stay near the mode that they start in. Where proposals have a density, of which
``Inference.propose`` knows, K of them and their weights need no gradient and cross
modes: see ``DecoderPosterior.reweight`` and ``sampling/importance.py``. Where these
miss a part of the posterior, which the weights' k̂ tells, tempering carries them there
(``sampling/tempering.py``), or jumps to them take turns with moves through the decoders
(``sampling/jumping.py``).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jnf_jax.methods.joint_inference import JointInference
from jnf_jax.methods.method import check_subset, propose_from
from jnf_jax.methods.subset import NUM_ADAPTATION_DATA, SubsetInference
from jnf_jax.options import option
from jnf_jax.sampling import (
    KHAT_LIMIT,
    ChainDiagnostics,
    ChainInfo,
    ChainSettings,
    WeightQuality,
    adapt_step_size,
    burn_and_keep,
    diagnose,
    independence_metropolis,
    jump_and_move,
    resample,
    run_chains,
    tempered_smc,
    weight_quality,
)
from jnf_jax.types import Latents, Nats, StageParams, Subset, Views

REFINEMENTS = ("chains", "resample", "irmh", "irmh_hmc", "smc")

TARGETS = ("model", "experts")

NUM_DECODED = 16
"""Proposals of a datum that are decoded at a time."""

NUM_TEMPERED = 32
"""Data that are tempered, or have chains, at a time; all proposals of each."""


@dataclasses.dataclass(frozen=True)
class Reweighting:
    """How draws are refined; part of a config's ``refinement``."""

    refine: str = option(
        "chains",
        '"chains" through the decoders; "resample", one of K proposals by its '
        'importance weight; "irmh", independence Metropolis over them; "irmh_hmc", the '
        'same in turn with HMC; or "smc", "resample" and, where its Pareto k̂ is high '
        "or not known, tempered sequential Monte Carlo from as many.",
        one_of=REFINEMENTS,
    )
    num_proposals: int = option(
        256, "K, draws of the amortised posterior a datum.", at_least=1
    )
    target: str = option(
        "model",
        'What weights are of: the "model", p(z) Π p(x_m|z)^λ_m, or the product of '
        '"experts" over the divisor. What moves draws knows the model alone.',
        one_of=TARGETS,
    )
    num_temperatures: int = option(
        12,
        'Steps of "smc" from the proposals to the target.',
        at_least=1,
        came_later=True,
    )

    def cross_faults(self, field: str) -> list[str]:
        """What moves draws, through the decoders, is on the model's posterior."""
        if self.refine in ("resample", "irmh") or self.target == "model":
            return []
        return [
            f"`{field}.target` is {self.target!r}, expected 'model' with `refine` "
            f"{self.refine!r}; the chains of `sampler` are on the product of experts"
        ]


class Reweighted(NamedTuple):
    """How choosing one of K proposals went, datum by datum.

    Attributes:
        quality: Pareto shape and effective sample size of the weights that chose; after
            tempering of those that it left.
        acceptance: Share of the proposals that "irmh" accepted, or mean acceptance of
            the moves of "smc", 1 where there were none; None of "resample".
        tempered: Where "smc" moved the proposals; None of others.
        moved: Mean acceptance of the HMC of "irmh_hmc"; None of others.
    """

    quality: WeightQuality
    acceptance: Float[Array, " batch"] | None
    tempered: Bool[Array, " batch"] | None = None
    moved: Float[Array, " batch"] | None = None


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

    @functools.partial(jax.jit, static_argnums=(0, 4, 5))
    def reweight(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        how: Reweighting,
    ) -> tuple[Latents, Reweighted]:
        """One of ``how.num_proposals`` draws of ``Inference.propose`` a datum.

        ::

            w_k = p(z_k) Π_{m∈S} p(x_m|z_k)^λ_m / q(z_k),    or  Π_S(z_k) / q(z_k)

        "smc" tempers as many other draws where these weights are not to be trusted;
        the chains of "irmh_hmc" are offered others throughout.

        Raises:
            ValueError: As ``check_target``.
        """
        check_subset(subset, self.inference.modalities)
        check_target(self.inference, how)
        propose_key, choose_key = jax.random.split(rng_key)
        temper_key = jax.random.fold_in(rng_key, 1)
        own = {m: views[m] for m in subset}
        num, log_joint = how.num_proposals, self._of_all(params, subset)
        z, log_ratio = self.inference.propose(params, propose_key, own, subset, num)
        if how.target == "experts":
            log_target = self.inference.log_product(params, own, subset, z)
        else:
            log_target = jax.lax.map(
                lambda z: log_joint(z, own), z, batch_size=NUM_DECODED
            )
        prior = self.inference.joint.prior_of(params["joint"])
        log_w = log_target + log_ratio - prior.log_density(z)
        if how.refine == "irmh_hmc":
            args = (params, temper_key, own, subset, how)
            end, jumped, moved = self._of_each(*args, jump_and_move)
            return end, Reweighted(weight_quality(log_w), jumped, moved=moved)
        acceptance = None
        if how.refine == "irmh":
            chosen, acceptance = independence_metropolis(choose_key, log_w)
        else:
            chosen = resample(choose_key, log_w)
        taken = jnp.take_along_axis(z, chosen[None, :, None], axis=0)[0]
        info = Reweighted(weight_quality(log_w), acceptance)
        if how.refine != "smc":
            return taken, info
        is_bad = ~(info.quality.khat <= KHAT_LIMIT)  # of few weights nobody knows it
        unmoved = taken, Reweighted(info.quality, jnp.ones(is_bad.shape), is_bad)
        moved = jax.lax.cond(
            is_bad.any(),
            lambda: self._temper(params, temper_key, own, subset, how, is_bad),
            lambda: unmoved,
        )

        def choose(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(is_bad.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        return jax.tree.map(choose, moved, unmoved)

    def _temper(
        self,
        params: StageParams,
        rng_key: jax.Array,
        own: Views,
        subset: Subset,
        how: Reweighting,
        is_bad: Bool[Array, " batch"],
    ) -> tuple[Latents, Reweighted]:
        """A draw a datum of ``how.num_proposals`` particles that are carried to the
        model's posterior."""

        def run(rng_key, z, log_proposal, log_target):
            move_key, choose_key = jax.random.split(rng_key)
            found = tempered_smc(
                move_key, z, log_proposal, log_target, num_steps=how.num_temperatures
            )
            chosen = resample(choose_key, found.log_weights[:, None])[0]
            return found.particles[chosen], found.log_weights, found.acceptance

        args = (params, rng_key, own, subset, how)
        z, log_weights, acceptance = self._of_each(*args, run)
        return z, Reweighted(weight_quality(log_weights.T), acceptance, is_bad)

    def _of_each(
        self,
        params: StageParams,
        rng_key: jax.Array,
        own: Views,
        subset: Subset,
        how: Reweighting,
        run: Callable[..., tuple[jax.Array, ...]],
    ) -> tuple[jax.Array, ...]:
        """``run(rng_key, z f32[K, D], log_proposal, log_target)`` datum by datum, each
        encoded once."""
        log_joint = self._of_all(params, subset)

        def one_datum(rng_key, own) -> tuple[jax.Array, ...]:
            views = {m: x[None] for m, x in own.items()}
            posteriors = self.inference.proposals(params, views, subset)

            def log_proposal(z: jax.Array) -> jax.Array:
                each = jnp.stack([q.log_prob(z[None]) for q in posteriors])
                return jax.nn.logmeanexp(each, axis=0)[0]

            propose_key, run_key = jax.random.split(rng_key)
            prior = self.inference.joint.prior_of(params["joint"])
            z, _ = propose_from(posteriors, prior, propose_key, how.num_proposals)
            log_target = lambda z: log_joint(z[None], views)[0]  # noqa: E731
            return run(run_key, z[:, 0], log_proposal, log_target)

        rng_keys = jax.random.split(rng_key, next(iter(own.values())).shape[0])
        return jax.lax.map(
            lambda of: one_datum(*of), (rng_keys, own), batch_size=NUM_TEMPERED
        )

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


def check_target(inference: JointInference, how: Reweighting) -> None:
    """Refuses weights of a target that has no density.

    Raises:
        ValueError: A product of experts where there are none, or where what divides
            them has a score alone; a prior of that kind.
    """
    said = f"`refinement.target` is {how.target!r}"
    family = inference.joint.prior
    if how.target == "experts":
        if not isinstance(inference, SubsetInference):
            raise ValueError(
                f"{said}, expected 'model': one flow infers every subset, there are no "
                "experts"
            )
        family = inference.divisor
    if family.density == "score":
        raise ValueError(
            f"{said}, which has the density of {family.name!r}: expected one that has "
            "more than a score"
        )
