"""Unimodal posteriors q_m(z|x_m): a Gaussian encoder each, then a flow."""

import dataclasses
from collections.abc import Mapping

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses import hide_absent
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.networks.build import Network, build_trunk
from jnf_jax.networks.gaussian import GaussianEncoder
from jnf_jax.networks.made import Made, init_flow, made_flow, made_stack
from jnf_jax.types import GaussianCode, Mask, Params, Shapes, Views


@dataclasses.dataclass(frozen=True)
class UnimodalPosterior:
    """q(z|x) of one modality: N(μ(x), diag σ(x)²) pushed through a masked flow.

    Parameters {"encoder", "flow": {"0", "1", …}}; no block is the Gaussian posterior.
    The encoder's context, if it has one, conditions every block. With a ``projector``
    g, a frozen network with parameters of its own ("projector"), it is q(z|g(x)), and
    ``shape`` is that of g(x).
    """

    name: str
    shape: tuple[int, ...]
    encoder: GaussianEncoder
    blocks: tuple[Made, ...]
    max_log_scale: float = 4.0
    projector: Network | None = None

    def init(self, rng_key: jax.Array) -> Params:
        """Fresh parameters; the flow starts as the identity."""
        encoder_key, *block_keys = jax.random.split(rng_key, len(self.blocks) + 1)
        x = jnp.zeros((1, *self.shape))
        code, variables = self.encoder.init_with_output(encoder_key, x)
        flow = init_flow(self.blocks, block_keys, code.mean, code.context)
        return {"encoder": variables["params"], "flow": flow}

    def encode(self, params: Params, x: jax.Array) -> GaussianCode:
        """Base mean and scale, and context, of f32[B, ...]: all that z needs of x."""
        if self.projector is not None:
            x = self.projector.apply({"params": params["projector"]}, x)
        return self.encoder.apply({"params": params["encoder"]}, x)

    def distribution(
        self, flow_params: Params, code: GaussianCode
    ) -> distrax.Distribution:
        """q(z|x) from ``params["flow"]`` and what ``encode`` said of x.

        It reads no name and no shape of the modality: experts with equal ``blocks``
        differ in their arguments alone.
        """
        base = distrax.MultivariateNormalDiag(code.mean, code.scale)
        bound = self.max_log_scale
        return made_flow(base, self.blocks, flow_params, code.context, bound)

    def matched_normal(
        self, flow_params: Params, code: GaussianCode, num_points: int
    ) -> tuple[Float[Array, "batch latent"], Float[Array, "batch latent latent"]]:
        """Mean f32[B, D] and precision f32[B, D, D] of a normal like q(z|x).

        ::

            m = mean of z_r,    P = mean of J_rᵀ J_r,    J_r = ∂v/∂z at z_r

        over ``num_points`` draws z_r, an even number, where v is the point of N(0, I)
        that z is the image of: what Gauss and Newton make of −∇² log q(z). Draws come
        in pairs ±v, the same for all data. Without a flow, or if it is affine, both are
        exact; else P is the larger, the more the flow bends. Ours; as dense mass on the
        digits, four draws did better than the covariance of 160 (methods/subset.py), at
        3 passes of the flow for each draw and dimension.
        """
        if not self.blocks:
            return code.mean, jax.vmap(jnp.diag)(code.scale**-2.0)
        size = code.mean.shape[-1]
        half = jax.random.normal(jax.random.key(0), (num_points // 2, size))

        def standardise(z: jax.Array, code: GaussianCode) -> jax.Array:
            u = self.distribution(flow_params, code).bijector.inverse(z)
            return (u - code.mean) / code.scale

        def look(v: jax.Array) -> tuple[jax.Array, jax.Array]:
            u = code.mean + code.scale * v
            z = self.distribution(flow_params, code).bijector.forward(u)
            jacobian = jax.vmap(jax.jacfwd(standardise))(z, code)
            return z, jnp.einsum("bki,bkj->bij", jacobian, jacobian)

        found = jax.lax.map(look, jnp.concatenate([half, -half]))
        return tuple(each.mean(0) for each in found)


Experts = tuple[UnimodalPosterior, ...]
"""One a modality, in sorted order."""


def build_trunks(shapes: Shapes, model: ModelSettings) -> dict[str, Network]:
    """{m: the network that reads x_m}, without a head."""
    return {m: build_trunk(model.network(m), model.compute_dtype) for m in shapes}


def build_experts(
    shapes: Shapes,
    trunks: Mapping[str, Network],
    model: ModelSettings,
    flow: FlowSettings,
) -> Experts:
    """One posterior a modality on arrays of ``shapes``."""
    return tuple(
        UnimodalPosterior(
            m,
            tuple(shapes[m]),
            GaussianEncoder(trunks[m], model.latent_dim, flow.context_size),
            made_stack(model.latent_dim, flow.hidden_sizes, flow.num_blocks),
            flow.max_log_scale,
        )
        for m in sorted(shapes)
    )


def init_experts(experts: Experts, rng_key: jax.Array) -> dict[str, Params]:
    """Fresh parameters {m: …} of every expert."""
    keyed = zip(experts, jax.random.split(rng_key, len(experts)), strict=True)
    return {expert.name: expert.init(key) for expert, key in keyed}


def posteriors_of(
    experts: Experts,
    params: dict[str, Params],
    views: Views,
    present: Mask | None = None,
) -> dict[str, distrax.Distribution]:
    """{m: q_m(z|x_m)} for every expert, batch [B], event [D].

    Where a row lacks a view, what stands in its place is not read, even NaN.
    """
    if present is not None:
        views = hide_absent(views, present)
    codes = {q.name: q.encode(params[q.name], views[q.name]) for q in experts}
    return {
        q.name: q.distribution(params[q.name]["flow"], codes[q.name]) for q in experts
    }
