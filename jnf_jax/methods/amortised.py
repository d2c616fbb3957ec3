"""One density q(z|x_S) for every subset S of the views: no chain, no quotient.

Stage ``subsets`` fits it to the frozen, cached q(z|X), for every S from ∅ to all but
one; its optimum is E[q(z|X) | x_S]. q(z|X) reads x_m through the few numbers of its
head alone, so that these heads, frozen and cached for the whole set as its mean and
scale are, are nearly all that q(z|x_S) needs: no step reads a pixel, unless a share of
the loss is on rows that the decoders draw. Related: MUNITE (2026) fits subsets by flow
matching, and names JNF; here the density is exact.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.flows import coloured
from jnf_jax.flows.triangular import solve_lower
from jnf_jax.losses import (
    SubsetModel,
    proper_subsets,
    simulated_subset_nll,
    subset_nll,
)
from jnf_jax.methods.joint_inference import JointInference
from jnf_jax.methods.joint_vae import JointVAE, posterior_from_cache
from jnf_jax.methods.method import (
    Batch,
    Method,
    SubsetInfo,
    check_subset,
)
from jnf_jax.methods.settings import FlowSettings
from jnf_jax.networks.made import Made, init_flow, made_flow, made_stack
from jnf_jax.networks.subset import SubsetEncoder
from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior
from jnf_jax.stage import Stage
from jnf_jax.types import (
    COVARIATES,
    Draws,
    Latents,
    Mask,
    MixtureCode,
    Nats,
    Params,
    Prior,
    StageParams,
    Subset,
    Views,
)

STAGE = "subsets"

POSTERIORS = ("product", "amortised")


@runtime_checkable
class Features(Protocol):
    """Frozen features of views; hashable."""

    @property
    def sizes(self) -> dict[str, int]:
        """{m: H_m}."""
        ...

    def __call__(self, params: StageParams, views: Views) -> dict[str, jax.Array]:
        """{m: f32[B, H_m]} of the views that there are, from ``params`` by stage."""
        ...


@dataclasses.dataclass(frozen=True)
class HeadFeatures:
    """The heads of the joint encoder: all that q(z|X) knows of each view."""

    joint: JointVAE

    @property
    def sizes(self) -> dict[str, int]:
        """{m: H}."""
        return dict.fromkeys(self.joint.modalities, self.joint.encoder.head_size)

    def __call__(self, params: StageParams, views: Views) -> dict[str, jax.Array]:
        """{m: f32[B, H]}."""
        return self.joint.features(params["joint"], views)


@dataclasses.dataclass(frozen=True)
class SubsetPosteriorSettings:
    """How subsets of the views are inferred; the flow of either is ``flow``."""

    name: str = option(
        "product",
        '"product" of unimodal experts over a power of the prior, by chains; or '
        '"amortised", one flow for every subset.',
        one_of=POSTERIORS,
    )
    num_components: int = option(
        20, "Normals in the base of the amortised flow.", at_least=1
    )
    hidden_sizes: tuple[int, ...] = option(
        (512, 512),
        "MLP from the features of what is given to the amortised flow's base.",
        at_least=1,
    )
    linear_path: bool = option(
        False,
        "Whether base and flow of the amortised one are of what a linear-Gaussian "
        "model leaves open, see `networks/linear_experts.py`.",
        came_later=True,
    )
    simulated_share: float = option(
        0.0,
        "Of the amortised flow's loss, that on rows which the decoders drew; the rest "
        "is on rows of the data. For views that cost little to decode. Drawn counts "
        "have the median total, drawn texts no padding.",
        between=(0, 1),
        came_later=True,
    )


FARTHEST = 4.0
"""Root mean square of a view's standardised features; of training rows it is 1."""


def drawn_in(features: Float[Array, "batch size"]) -> Float[Array, "batch size"]:
    """Rows whose root mean square exceeds ``FARTHEST``, made that much shorter.

    >>> print(np.asarray(drawn_in(jnp.array([[3.0, -1.0], [30.0, -40.0]]))).round(2))
    [[ 3.   -1.  ]
     [ 3.39 -4.53]]
    """
    size = jnp.sqrt(jnp.mean(jnp.square(features), axis=-1, keepdims=True))
    return features * jnp.minimum(1.0, FARTHEST / jnp.maximum(size, FARTHEST))


@dataclasses.dataclass(frozen=True)
class SubsetPosterior:
    """q(z|x_S) from features of x_S: a mixture of normals pushed through a masked flow.

    With a linear path these are of u = Cᵀ (z − μ_S), see ``LinearCode``.

    Parameters {"standard": {m: {"mean", "scale"}} of the features, not learnt;
    "encoder"; "flow": {"0", "1", …}}.

    Attributes:
        sizes: (m, H_m), sorted: how many features each view has.
        encoder: From features to base and context.
        blocks: Of the flow; none is the mixture itself.
        max_log_scale: Bound of each block's log-scale, nats.
    """

    sizes: tuple[tuple[str, int], ...]
    encoder: SubsetEncoder
    blocks: tuple[Made, ...]
    max_log_scale: float

    def init(self, rng_key: jax.Array) -> Params:
        """Fresh parameters; the flow starts as the identity."""
        encoder_key, *block_keys = jax.random.split(rng_key, len(self.blocks) + 1)
        blank = {m: jnp.zeros((1, size)) for m, size in self.sizes}
        given = {m: jnp.ones(1, bool) for m, _ in self.sizes}
        code, variables = self.encoder.init_with_output(encoder_key, blank, given)
        z = jnp.zeros((1, self.encoder.latent_size))
        return {
            "standard": {
                m: {"mean": jnp.zeros(size), "scale": jnp.ones(size)}
                for m, size in self.sizes
            },
            "encoder": variables["params"],
            "flow": init_flow(self.blocks, block_keys, z, code.context),
        }

    def prepare(self, cached: Any) -> Params:
        """Mean and standard deviation of the features that the training data have."""
        standard = {}
        for m, x in cached["features"].items():
            known = x[cached["present"][m]] if "present" in cached else x
            scale = np.maximum(np.std(known, axis=0), 1e-6)
            standard[m] = {"mean": np.mean(known, axis=0), "scale": scale}
        return {"standard": standard}

    def encode(self, params: Params, features: Views, given: Mask) -> MixtureCode:
        """Base and context of q(z|x_S), S row by row; hidden features may be anything,
        or be missing.

        Features of a view further out than ``FARTHEST`` are drawn in to there: a
        network knows nothing of where no training row was, and what it would say grows
        without bound.
        """
        standard = jax.lax.stop_gradient(params["standard"])
        batch = next(iter(given.values())).shape[0]
        known = {
            m: drawn_in((features[m] - standard[m]["mean"]) / standard[m]["scale"])
            if m in features
            else jnp.zeros((batch, size))
            for m, size in self.sizes
        }
        return self.encoder.apply({"params": params["encoder"]}, known, given)

    def distribution(self, params: Params, code: MixtureCode) -> distrax.Distribution:
        """q(z|x_S), batch [B], event [D]."""
        base = distrax.MixtureSameFamily(
            distrax.Categorical(logits=code.logits),
            distrax.MultivariateNormalDiag(code.mean, code.scale),
        )
        bound = self.max_log_scale
        flow = made_flow(base, self.blocks, params["flow"], code.context, bound)
        return flow if code.linear is None else coloured(flow, *code.linear)


def build_amortised(
    joint: JointVAE,
    stages: tuple[Stage, ...],
    features: Features,
    flow: FlowSettings,
    settings: SubsetPosteriorSettings,
) -> Method:
    """A method that infers subsets by one flow.

    Args:
        joint: Whose encoder is frozen.
        stages: Those that ``joint`` and ``features`` are learnt in.
        features: What q(z|x_S) reads of the views; cached.
        flow: Blocks of the flow, size of its context, draws of z a datum and step.
        settings: Its base and encoder.
    """
    posterior = SubsetPosterior(
        tuple(sorted(features.sizes.items())),
        SubsetEncoder(
            joint.latent_size,
            settings.num_components,
            settings.hidden_sizes,
            flow.context_size,
            settings.linear_path,
        ),
        made_stack(joint.latent_size, flow.hidden_sizes, flow.num_blocks),
        flow.max_log_scale,
    )

    def cache(
        params: StageParams, views: Views, present: Mask | None = None
    ) -> dict[str, Any]:
        found = {"features": features(params, views)}
        if present is not None:
            found["present"] = present
        return joint.cached_posterior(params, views, present) | found

    stage = Stage(
        STAGE,
        posterior.init,
        functools.partial(
            _loss,
            posterior=posterior,
            num_samples=flow.num_posterior_samples,
            simulated_share=settings.simulated_share,
            redraw=functools.partial(_redraw, joint=joint, features=features),
        ),
        needs=tuple(stage.name for stage in stages),
        settings=(
            *("flow", "subset_posterior"),
            *dict.fromkeys(name for stage in stages for name in stage.settings),
        ),
        cache=cache,
        reads_beside_cache=settings.simulated_share > 0,
        prepare=posterior.prepare,
        has_convolutions=False,
    )
    return Method((*stages, stage), AmortisedInference(joint, posterior, features))


def _redraw(
    frozen: StageParams,
    rng_key: jax.Array,
    batch: Batch,
    z: Latents,
    *,
    joint: JointVAE,
    features: Features,
) -> Batch:
    """The batch with features of x ~ p(x|z), given the row's covariates if it has any.

    Of all views, whether the row has them or not; entries that a view of the row lacks
    are missing in what is drawn of it too.
    """
    beside = {n: batch.views[n] for n in (COVARIATES,) if n in batch.views}
    decoded = joint.decode(frozen["joint"], z, beside.get(COVARIATES))
    keys = jax.random.split(rng_key, len(decoded))
    views = {
        m: decoded[m].sample(seed=key)
        for m, key in zip(sorted(decoded), keys, strict=True)
    }
    for view in joint.views:
        if view.partial_entries and view.name in batch.views:
            holes = jnp.isnan(batch.views[view.name])
            views[view.name] = jnp.where(holes, jnp.nan, views[view.name])
    read = features(frozen, views | beside)
    return batch._replace(cached=batch.cached | {"features": read})


def _loss(
    params: Params,
    frozen: StageParams | None,
    rng_key: jax.Array,
    batch: Batch,
    *,
    posterior: SubsetPosterior,
    num_samples: int,
    simulated_share: float,
    redraw: Callable[[Params, jax.Array, Batch, Latents], Batch],
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean ``subset_nll`` over random subsets, one a row; unbiased, by size too.

    Rows that lack views are fitted to q(z|x_O), given S ⊊ O. Of the loss
    ``simulated_share`` is ``simulated_subset_nll``, of all S.
    """
    features = batch.cached["features"]
    model = SubsetModel(
        joint_posterior=posterior_from_cache,
        posterior=lambda params, batch, given: posterior.distribution(
            params, posterior.encode(params, batch.cached["features"], given)
        ),
        redraw=redraw,
    )
    mask_key, draw_key = jax.random.split(rng_key)
    everything = {m: jnp.ones(x.shape[0], bool) for m, x in features.items()}
    given = proper_subsets(mask_key, batch.present or everything)
    nll = subset_nll(
        params, frozen, draw_key, batch, given, model=model, num_samples=num_samples
    )
    # A size has a share of 1/M of the rows: in one step more, in another less, or none.
    size, num = sum(chosen.astype(jnp.int32) for chosen in given.values()), len(given)
    metrics = {f"nll/{k}": num * jnp.mean(nll * (size == k)) for k in range(num)}
    if not simulated_share:
        return jnp.mean(nll), metrics
    # Not a key that the split above gave.
    own_key = jax.random.fold_in(rng_key, zlib.crc32(b"simulated"))
    mask_key, draw_key = jax.random.split(own_key)
    given = proper_subsets(mask_key, everything)
    simulated = jnp.mean(
        simulated_subset_nll(params, frozen, draw_key, batch, given, model=model)
    )
    loss = (1 - simulated_share) * jnp.mean(nll) + simulated_share * simulated
    return loss, metrics | {"nll/simulated": simulated}


@dataclasses.dataclass(frozen=True)
class AggregatePosterior(BoundPrior):
    """q(z|x_∅): the density of the aggregate posterior, as a prior to draw from."""

    posterior: distrax.Distribution

    def log_density(self, z: Latents) -> Nats:
        return self.posterior.log_prob(z[..., None, :])[..., 0]

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        return self.posterior.sample(seed=rng_key, sample_shape=num_samples)[:, 0]


@dataclasses.dataclass(frozen=True)
class AmortisedInference(JointInference):
    """Inference of a joint VAE by one flow for every subset; static under jit.

    Attributes:
        joint: Joint encoder, decoders and prior; parameters ``params["joint"]``.
        posterior: Parameters ``params["subsets"]``.
        features: What it reads of the views.
    """

    posterior: SubsetPosterior
    features: Features

    @property
    def prior_names(self) -> tuple[str, ...]:
        """The model's own, "amortised" (q(z|x_∅)), and one fitted afterwards."""
        own, *fitted = super().prior_names
        return (own, "amortised", *fitted)

    def prior_of(self, params: StageParams, name: str) -> Prior:
        """The prior of that name in ``prior_names``."""
        if name != "amortised":
            return super().prior_of(params, name)
        return AggregatePosterior(self._posterior_of(params, {}, (), 1))

    def infer(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        step_size: None = None,
    ) -> tuple[Latents, SubsetInfo | None]:
        """z ~ q(z|x_S), f32[B, D]; no sampler ran."""
        del step_size
        check_subset(subset, self.modalities)
        # As products split it: draws given all views are the same under one seed.
        key, _ = jax.random.split(rng_key)
        if len(subset) == len(self.modalities):
            return self.draw_joint(params["joint"], key, dict(views)), None
        read = self._read(params, views, subset, views[subset[0]].shape[0])
        return self._draw(params[STAGE], key, *read), None

    def posteriors(
        self, params: StageParams, views: Views, subset: Subset
    ) -> list[distrax.Distribution]:
        """[q(z|x_S)], whose density is known for every proper S."""
        return [self._posterior_of(params, views, subset, views[subset[0]].shape[0])]

    def base_scale(self, params: StageParams, views: Views, subset: Subset) -> Latents:
        """Standard deviations of q(z|x_S) before its flow; f32[B, D]."""
        if len(subset) == len(self.modalities):
            return self.joint.code(params["joint"], views).scale
        code = self._code_of(params, views, subset, views[subset[0]].shape[0])
        weights = jax.nn.softmax(code.logits)[..., None]
        deviation = code.mean - jnp.sum(weights * code.mean, axis=-2, keepdims=True)
        variance = jnp.square(code.scale)
        if code.linear is not None:
            # z = μ_S + C⁻ᵀ u
            root, eye = code.linear.root[:, None], jnp.eye(self.joint.latent_size)
            colour = solve_lower(root, eye, transposed=True)
            deviation, variance = deviation @ colour, variance @ jnp.square(colour)
        return jnp.sqrt(jnp.sum(weights * (jnp.square(deviation) + variance), axis=-2))

    def unimodal_log_probs(
        self, params: StageParams, views: Views, z: Latents
    ) -> dict[str, Nats]:
        """{m: log q(z|x_m)}; nats."""
        return {
            m: self.subset_log_prob(params, views, (m,), z) for m in self.modalities
        }

    def subset_log_prob(
        self,
        params: StageParams,
        views: Views,
        subset: Subset,
        z: Latents,
    ) -> Nats:
        """log q(z|x_S) of any S, ∅ too; nats."""
        if len(subset) == len(self.modalities):
            return self.joint_log_prob(params, views, z)
        return self._log_prob(
            params[STAGE], *self._read(params, views, subset, z.shape[0]), z
        )

    # A view is read by a program of its own, and zeros stand for those that are not
    # given: whatever S is, these programs and one that draws are all there are.

    def _read(
        self, params: StageParams, views: Views, subset: Subset, batch: int
    ) -> tuple[dict[str, jax.Array], Mask]:
        """Features of every view, zeros where it is not given, and the mask."""
        beside = {n: views[n] for n in (COVARIATES,) if n in views}
        read = {m: self._read_one(params, {m: views[m]} | beside)[m] for m in subset}
        # Placed on devices, and mapped over, as what is read is: or each subset would
        # compile its own.
        zeros = jnp.zeros(batch)
        if read:
            zeros = jnp.where(False, next(iter(read.values()))[:, 0], zeros)
        features = {
            m: read[m] if m in read else zeros[:, None] + jnp.zeros(size)
            for m, size in self.posterior.sizes
        }
        return features, {m: zeros + (m in read) > 0 for m in features}

    def _code_of(
        self, params: StageParams, views: Views, subset: Subset, batch: int
    ) -> MixtureCode:
        read = self._read(params, views, subset, batch)
        return self.posterior.encode(params[STAGE], *read)

    def _posterior_of(
        self, params: StageParams, views: Views, subset: Subset, batch: int
    ) -> distrax.Distribution:
        code = self._code_of(params, views, subset, batch)
        return self.posterior.distribution(params[STAGE], code)

    @functools.partial(jax.jit, static_argnums=0)
    def _read_one(self, params: StageParams, view: Views) -> dict[str, jax.Array]:
        return self.features(params, view)

    @functools.partial(jax.jit, static_argnums=0)
    def _draw(self, params: Params, rng_key: jax.Array, features: Views, given: Mask):
        code = self.posterior.encode(params, features, given)
        return self.posterior.distribution(params, code).sample(seed=rng_key)

    @functools.partial(jax.jit, static_argnums=0)
    def _log_prob(self, params: Params, features: Views, given: Mask, z: jax.Array):
        code = self.posterior.encode(params, features, given)
        return self.posterior.distribution(params, code).log_prob(z)
