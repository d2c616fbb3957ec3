"""Unimodal posteriors q_m(z|x_m): a Gaussian encoder each, then a flow."""

import dataclasses
from collections.abc import Mapping

import distrax
import jax
import jax.numpy as jnp

from jnf_jax.flows import flow_posterior
from jnf_jax.methods.settings import FlowSettings, ModelSettings, Shapes
from jnf_jax.networks.build import Network, build_trunk
from jnf_jax.networks.gaussian import GaussianEncoder
from jnf_jax.networks.made import Made, made_stack
from jnf_jax.types import GaussianCode, Params, Views


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
        return {
            "encoder": variables["params"],
            "flow": {
                str(i): block.init(key, code.mean, code.context)["params"]
                for i, (block, key) in enumerate(
                    zip(self.blocks, block_keys, strict=True)
                )
            },
        }

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

        def conditioner(block: Made, block_params: Params):
            return lambda z: block.apply({"params": block_params}, z, code.context)

        return flow_posterior(
            distrax.MultivariateNormalDiag(code.mean, code.scale),
            [
                conditioner(block, flow_params[str(i)])
                for i, block in enumerate(self.blocks)
            ],
            max_log_scale=self.max_log_scale,
        )


def build_trunks(shapes: Shapes, model: ModelSettings) -> dict[str, Network]:
    """{m: the network that reads x_m}, without a head."""
    return {m: build_trunk(model.network(m), model.compute_dtype) for m in shapes}


def build_experts(
    shapes: Shapes,
    trunks: Mapping[str, Network],
    model: ModelSettings,
    flow: FlowSettings,
) -> tuple[UnimodalPosterior, ...]:
    """One posterior a modality, in sorted order, on arrays of ``shapes``."""
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


def init_experts(
    experts: tuple[UnimodalPosterior, ...], rng_key: jax.Array
) -> dict[str, Params]:
    """Fresh parameters {m: …} of every expert."""
    keys = jax.random.split(rng_key, len(experts))
    return {
        expert.name: expert.init(key) for expert, key in zip(experts, keys, strict=True)
    }


def posteriors_of(
    experts: tuple[UnimodalPosterior, ...], params: dict[str, Params], views: Views
) -> dict[str, distrax.Distribution]:
    """{m: q_m(z|x_m)} for every expert, batch [B], event [D]."""
    return {
        expert.name: expert.distribution(
            params[expert.name]["flow"],
            expert.encode(params[expert.name], views[expert.name]),
        )
        for expert in experts
    }
