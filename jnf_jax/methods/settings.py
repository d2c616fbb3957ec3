"""Settings that a method is built from; each tells all of its own faults at once."""

import dataclasses
import math
from collections.abc import Mapping

from jnf_jax.likelihoods import LIKELIHOODS, TAKES_LOGITS
from jnf_jax.networks.build import COMPUTE_DTYPES, CONVOLUTIONAL, NetworkSettings
from jnf_jax.networks.gaussian import SCALES
from jnf_jax.priors.family import PriorFamily, faults_below, faults_of_choice
from jnf_jax.priors.learnable_scale import KINDS
from jnf_jax.priors.normal import NormalFamily

Shapes = Mapping[str, tuple[int, ...]]
"""Modality name -> event shape."""

MIN_TEMPERATURE = 0.01
"""A learnt τ stays above it: 1/τ multiplies the gradients."""

PROJECTOR_OBJECTIVES = ("dcca", "info_nce", "nt_xent")


@dataclasses.dataclass(frozen=True)
class LikelihoodSettings:
    """p(x_m|z) of one modality.

    Attributes:
        name: A name in ``LIKELIHOODS``.
        scale: b of a Laplace, s of a Normal or a pen's positions; else unused.
        weight: λ_m in the objective.
    """

    name: str = "laplace"
    scale: float = 0.75
    weight: float = 1.0

    def faults(self, field: str) -> list[str]:
        """What is wrong, one line a fault."""
        found = []
        if self.name not in LIKELIHOODS:
            found.append(
                f"`{field}.name` is {self.name!r}, expected one of "
                f"{sorted(LIKELIHOODS)}"
            )
        for name in ("scale", "weight"):
            if not getattr(self, name) > 0:
                found.append(f"`{field}.{name}` is {getattr(self, name)}, expected > 0")
        return found


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The joint VAE, or a mixture of experts.

    Attributes:
        latent_dim: D; of the shared latent where there are private ones.
        beta: β, the weight of the KL.
        alpha: α of JMVAE's unimodal divergences; other methods ignore it.
        joint_hidden_sizes: MLP on the concatenated heads of the joint encoder; unused
            by mixtures of experts, as is the next.
        head_size: What each head of the joint encoder gives; 0: ``latent_dim``.
        likelihood_rescaling: Multiply each λ_m by max_n dim(x_n) / dim(x_m).
        networks: Modality -> NetworkSettings; "default" for those not named.
        likelihoods: Modality -> LikelihoodSettings; "default" likewise.
        prior: p(z), with its options; see ``priors.registry``.
        compute_dtype: Of the trunks of encoders and of decoders, "float32" or
            "bfloat16" (for accelerators). Parameters, heads, flows, densities and
            likelihoods are float32 in any case.
    """

    latent_dim: int
    networks: Mapping[str, NetworkSettings]
    likelihoods: Mapping[str, LikelihoodSettings]
    beta: float = 1.0
    alpha: float = 0.1
    joint_hidden_sizes: tuple[int, ...] = (512, 512)
    head_size: int = 0
    likelihood_rescaling: bool = False
    prior: PriorFamily = NormalFamily()
    compute_dtype: str = "float32"

    def network(self, modality: str) -> NetworkSettings:
        """Those of ``modality``, or the default ones."""
        return self.networks.get(modality, self.networks.get("default"))

    def likelihood(self, modality: str) -> LikelihoodSettings:
        """Those of ``modality``, or the default ones."""
        return self.likelihoods.get(modality, self.likelihoods.get("default"))

    def has_convolutions(self, shapes: Shapes) -> bool:
        """Whether the networks of any modality have."""
        return any(self.network(m).kind in CONVOLUTIONAL for m in shapes)

    def weight(self, modality: str, shapes: Shapes) -> float:
        """λ_m, rescaled if so set."""
        weight = self.likelihood(modality).weight
        if self.likelihood_rescaling:
            sizes = {m: math.prod(shape) for m, shape in shapes.items()}
            weight *= max(sizes.values()) / sizes[modality]
        return weight

    def own_faults(self) -> list[str]:
        """What is wrong with these settings, whatever the data set."""
        found = []
        if self.latent_dim < 1:
            found.append(f"`model.latent_dim` is {self.latent_dim}, expected >= 1")
        if self.beta < 0 or self.alpha < 0:
            found.append(
                f"`model.beta` and `model.alpha` are {self.beta} and {self.alpha}, "
                "expected >= 0"
            )
        if self.head_size < 0:
            found.append(f"`model.head_size` is {self.head_size}, expected >= 0")
        if min(self.joint_hidden_sizes, default=1) < 1:
            found.append(
                f"`model.joint_hidden_sizes` is {self.joint_hidden_sizes}, expected "
                "positive sizes"
            )
        if self.compute_dtype not in COMPUTE_DTYPES:
            found.append(
                f"`model.compute_dtype` is {self.compute_dtype!r}, expected one of "
                f"{COMPUTE_DTYPES}"
            )
        kinds = {network.kind for network in self.networks.values() if network}
        single = sorted(kinds & {"residual", "transformer"})
        if self.compute_dtype != "float32" and single:
            found.append(
                f"`model.compute_dtype` is {self.compute_dtype!r}, expected 'float32': "
                f"{' and '.join(single)} networks know no other yet"
            )
        return found + self.prior.faults("model.prior")

    def faults(self, shapes: Shapes) -> list[str]:
        """What is wrong with these settings for a data set of ``shapes``."""
        found = self.own_faults()
        for section in ("networks", "likelihoods"):
            given = getattr(self, section)
            unknown = sorted(set(given) - set(shapes) - {"default"})
            missing = sorted(set(shapes) - set(given)) if "default" not in given else []
            if unknown or missing:
                found.append(
                    f"`model.{section}` names {sorted(given)}, expected 'default' or "
                    f"each of {sorted(shapes)}"
                )
            else:
                for modality, shape in shapes.items():
                    name = modality if modality in given else "default"
                    field = f"model.{section}.{name}"
                    found += (
                        self.network(modality).faults(field, shape)
                        if section == "networks"
                        else self._likelihood_faults(modality, field, shape)
                    )
        return list(dict.fromkeys(found))

    def _likelihood_faults(
        self, modality: str, field: str, shape: tuple[int, ...]
    ) -> list[str]:
        found = self.likelihood(modality).faults(field)
        network, name = self.network(modality), self.likelihood(modality).name
        if network and name in TAKES_LOGITS and network.activation != "identity":
            found.append(
                f"`{field}.name` is {name!r}, which takes logits: expected a "
                f"network with activation 'identity', got {network.activation!r}"
            )
        if name == "categorical" and len(shape) != 2:
            found.append(
                f"`{field}.name` is 'categorical', expected tokens [tokens, classes], "
                f"got shape {shape}"
            )
        if name == "pen" and (len(shape) != 2 or shape[-1] != 3):
            found.append(
                f"`{field}.name` is 'pen', expected points [points, 3], got shape "
                f"{shape}"
            )
        return found


@dataclasses.dataclass(frozen=True)
class ExpertSettings:
    """The mixture of experts of MMVAE+, and its bound; other methods ignore them.

    Attributes:
        private_dim: D_w, of each modality's private latent; 0: none, as in MMVAE.
        family: Of posteriors and private priors, "laplace" or "normal".
        scale: How encoders give scales: "softmax", averaging to one, or "exp".
        num_importance_samples: K.
    """

    private_dim: int = 32
    family: str = "laplace"
    scale: str = "softmax"
    num_importance_samples: int = 1

    def faults(self) -> list[str]:
        """What is wrong, one line a fault."""
        least = {"private_dim": 0, "num_importance_samples": 1}
        known = {"family": tuple(KINDS), "scale": tuple(SCALES)}
        return [
            *faults_below(self, "experts", least),
            *faults_of_choice(self, "experts", known),
        ]


@dataclasses.dataclass(frozen=True)
class FlowSettings:
    """The unimodal posteriors.

    Attributes:
        num_blocks: MADE blocks; 0 is the Gaussian posterior.
        hidden_sizes: Hidden layers of each MADE.
        context_size: Features of x_m that condition every block; 0: x_m acts through
            the base alone, as in the paper.
        max_log_scale: Bound of each block's log-scale, nats.
        num_posterior_samples: Draws of z ~ q(z|X) a datum and step.
    """

    num_blocks: int = 2
    hidden_sizes: tuple[int, ...] = (128, 128, 128)
    context_size: int = 0
    max_log_scale: float = 4.0
    num_posterior_samples: int = 1

    def faults(self) -> list[str]:
        """What is wrong, one line a fault."""
        least = {"num_blocks": 0, "context_size": 0, "num_posterior_samples": 1}
        found = [
            f"`flow.{field}` is {getattr(self, field)}, expected >= {bound}"
            for field, bound in least.items()
            if getattr(self, field) < bound
        ]
        if not self.max_log_scale > 0:
            found.append(f"`flow.max_log_scale` is {self.max_log_scale}, expected > 0")
        if self.num_blocks and not (self.hidden_sizes and min(self.hidden_sizes) > 0):
            found.append(
                f"`flow.hidden_sizes` is {self.hidden_sizes}, expected one or more "
                "positive sizes"
            )
        return found


@dataclasses.dataclass(frozen=True)
class ProjectorSettings:
    """JNF-Shared's projectors g_m; their trunks are those of ``model.networks``.

    Attributes:
        objective: "nt_xent" or "info_nce" (contrastive), or "dcca".
        size: o, the dimension of g_m(x_m).
        base_size: What each modality hands to the head that all share; contrastive.
        temperature: τ; contrastive.
        learns_temperature: Whether τ is a parameter that starts there; contrastive.
        num_correlations: How many of each pair's largest are summed; 0: all; DCCA.
        ridge: Added to variances; DCCA.
        posterior_hidden_sizes: MLP from g_m(x_m) to the base of q_m.
    """

    objective: str
    size: int
    base_size: int = 64
    temperature: float = 0.1
    learns_temperature: bool = False
    num_correlations: int = 0
    ridge: float = 1e-3
    posterior_hidden_sizes: tuple[int, ...] = (512, 512, 512)

    def faults(self) -> list[str]:
        """What is wrong, one line a fault."""
        found = []
        if self.objective not in PROJECTOR_OBJECTIVES:
            found.append(
                f"`projectors.objective` is {self.objective!r}, expected one of "
                f"{PROJECTOR_OBJECTIVES}"
            )
        for field in ("size", "base_size"):
            if getattr(self, field) < 1:
                found.append(
                    f"`projectors.{field}` is {getattr(self, field)}, expected >= 1"
                )
        least = MIN_TEMPERATURE if self.learns_temperature else 0
        if not self.temperature > least:
            found.append(
                f"`projectors.temperature` is {self.temperature}, expected > {least}"
            )
        if not 0 <= self.num_correlations <= self.size:
            found.append(
                f"`projectors.num_correlations` is {self.num_correlations}, expected "
                f"0 to `projectors.size` = {self.size}"
            )
        if not self.ridge > 0:
            found.append(f"`projectors.ridge` is {self.ridge}, expected > 0")
        if min(self.posterior_hidden_sizes, default=0) < 1:
            found.append(
                f"`projectors.posterior_hidden_sizes` is {self.posterior_hidden_sizes}"
                ", expected one or more positive sizes"
            )
        return found

    def batch_faults(self, batch_size: int, said: str) -> list[str]:
        """Whether a batch of that size says anything to the objective.

        Args:
            batch_size: Its rows.
            said: Where the number comes from, "`field` is 3".
        """
        if self.objective != "dcca" and batch_size < 2:
            return [f"{said}, expected 2 or more: one datum is told from no other"]
        if self.objective != "dcca" or batch_size > 2 * self.size:
            return []
        return [
            f"{said}, expected more than "
            f"2 * `projectors.size` = {2 * self.size}: in fewer data some correlation "
            "is 1 whatever they are; hundreds more say something"
        ]
