"""Unimodal posteriors q_m(z|x_m): a Gaussian encoder each, then a flow."""

import dataclasses
from collections.abc import Mapping

import distrax
import jax
import jax.numpy as jnp

from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.networks.build import Network, build_trunk
from jnf_jax.networks.gaussian import GaussianEncoder
from jnf_jax.networks.made import Made, init_flow, made_flow, made_stack
from jnf_jax.types import GaussianCode, Params, Shapes, Views


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
    experts: Experts, params: dict[str, Params], views: Views
) -> dict[str, distrax.Distribution]:
    """{m: q_m(z|x_m)} for every expert, batch [B], event [D]."""
    codes = {q.name: q.encode(params[q.name], views[q.name]) for q in experts}
    return {
        q.name: q.distribution(params[q.name]["flow"], codes[q.name]) for q in experts
    }
