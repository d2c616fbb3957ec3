"""Settings that a method is built from."""

import dataclasses
import math
from collections.abc import Mapping

from jnf_jax.likelihoods import LEARN_SCALE, LIKELIHOODS, OPTIONS, TAKES_LOGITS
from jnf_jax.networks.build import COMPUTE_DTYPES, CONVOLUTIONAL, NetworkSettings
from jnf_jax.options import REQUIRED, option
from jnf_jax.priors.family import PriorFamily
from jnf_jax.priors.normal import NormalFamily
from jnf_jax.types import Shapes


@dataclasses.dataclass(frozen=True)
class LikelihoodSettings:
    """p(x_m|z) of one modality."""

    name: str = option(
        "laplace", "The distribution; a name in `LIKELIHOODS`.", one_of=LIKELIHOODS
    )
    scale: float = option(
        0.75,
        "b of a Laplace, s of a Normal, a Student's t or a pen's positions; κ^(−½) of "
        "a von Mises, radians; dispersion of a negative binomial; width of an "
        "ordinal's inner classes; else unused.",
        above=0,
    )
    learns_scale: bool = option(
        False,
        "Whether the scale is learnt, one for each feature (channel of a picture), "
        "from `scale` on; never below a hundredth of that. An ordinal learns its cut "
        "points so.",
        came_later=True,
    )
    weight: float = option(
        1.0,
        "λ_m in the objective. `likelihood_rescaling` balances views by their sizes.",
        above=0,
    )
    degrees_of_freedom: float = option(
        4.0, "ν of a Student's t.", above=0, came_later=True
    )
    num_classes: int = option(
        0,
        "K of an ordinal, whose classes are 0, …, K − 1.",
        at_least=0,
        came_later=True,
    )
    median_total: float = option(
        0.0,
        "T of counts: a row's total over T is its size factor, by which the mean is "
        "multiplied; T is the median of the rows' totals. 0: no size factors.",
        at_least=0,
        came_later=True,
    )

    def cross_faults(self, field: str) -> list[str]:
        """Others have no scale, or one of positions alone; an ordinal has classes."""
        found = []
        if self.learns_scale and self.name not in LEARN_SCALE:
            found.append(
                f"`{field}.learns_scale` is True, expected False for {self.name!r}: it "
                f"is for {', '.join(LEARN_SCALE)}"
            )
        if self.name == "ordinal" and self.num_classes < 2:
            found.append(
                f"`{field}.num_classes` is {self.num_classes}, expected 2 or more of "
                "an ordinal"
            )
        return found

    @property
    def options(self) -> tuple[tuple[str, float | int], ...]:
        """What the likelihood of this name takes beside its scale, by name."""
        return tuple(
            (field, getattr(self, field)) for field in OPTIONS.get(self.name, ())
        )


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The joint VAE, or a mixture of experts.

    ``networks`` and ``likelihoods`` are by modality, "default" for those not named;
    ``prior`` is p(z) with its options, see ``priors.registry``.
    """

    latent_dim: int = option(
        REQUIRED, "D; of the shared latent where there are private ones.", at_least=1
    )
    networks: Mapping[str, NetworkSettings]
    likelihoods: Mapping[str, LikelihoodSettings]
    beta: float = option(1.0, "β, the weight of the KL.", at_least=0)
    alpha: float = option(
        0.1, "α of JMVAE's unimodal divergences; other methods ignore it.", at_least=0
    )
    joint_hidden_sizes: tuple[int, ...] = option(
        (512, 512),
        "MLP on the concatenated heads of the joint encoder; unused by mixtures of "
        "experts, as is the next.",
        at_least=1,
    )
    head_size: int = option(
        0,
        "Features that each head of the joint encoder gives; 0: `latent_dim`.",
        at_least=0,
    )
    partial_rows: bool = option(
        False,
        "Whether training rows may lack views, completely at random: the joint encoder "
        "then learns q(z|x_O) of whichever views O there are.",
        came_later=True,
    )
    linear_path: bool = option(
        False,
        "Whether the joint encoder has the posterior of a linear-Gaussian model beside "
        "its MLP, see `networks/linear_experts.py`.",
        came_later=True,
    )
    num_covariates: int = option(
        0,
        "K, columns of the covariates that rows come with; encoders and decoders read "
        "them. `fit` sets it.",
        at_least=0,
        came_later=True,
    )
    likelihood_rescaling: bool = option(
        False,
        "Whether views are balanced by size: each λ_m is multiplied by "
        "max_n dim(x_n) / dim(x_m), so that every view weighs as if it had as many "
        "entries as the largest.",
    )
    prior: PriorFamily = NormalFamily()
    compute_dtype: str = option(
        "float32",
        'Type in which trunks of encoders and decoders are computed, "float32" or '
        '"bfloat16" (for accelerators). Parameters, heads, flows, densities and '
        "likelihoods are float32 in any case.",
        one_of=COMPUTE_DTYPES,
        came_later=True,
    )

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

    def cross_faults(self, field: str) -> list[str]:
        """Some networks are computed in float32 alone."""
        kinds = {network.kind for network in self.networks.values()}
        single = sorted(kinds & {"residual", "transformer"})
        if self.compute_dtype == "float32" or not single:
            return []
        return [
            f"`{field}.compute_dtype` is {self.compute_dtype!r}, expected 'float32': "
            f"{' and '.join(single)} networks know no other yet"
        ]

    def shape_faults(self, shapes: Shapes) -> list[str]:
        """Why these settings are not for a data set of ``shapes``, one line a fault."""
        found = []
        for section in ("networks", "likelihoods"):
            given = getattr(self, section)
            missing = {m for m in shapes if m not in given and "default" not in given}
            if missing or set(given) - set(shapes) - {"default"}:
                found.append(
                    f"`model.{section}` names {sorted(given)}, expected 'default' or "
                    f"each of {sorted(shapes)}"
                )
                continue
            for modality, shape in shapes.items():
                name = modality if modality in given else "default"
                field = f"model.{section}.{name}"
                found += (
                    self.network(modality).shape_faults(field, shape)
                    if section == "networks"
                    else self._likelihood_faults(modality, field, shape)
                )
        return list(dict.fromkeys(found))

    def _likelihood_faults(
        self, modality: str, field: str, shape: tuple[int, ...]
    ) -> list[str]:
        found = []
        network, name = self.network(modality), self.likelihood(modality).name
        if network and name in TAKES_LOGITS and network.activation != "identity":
            found.append(
                f"`{field}.name` is {name!r}, which takes logits: expected a "
                f"network with activation 'identity', got {network.activation!r}"
            )
        if name == "categorical" and len(shape) > 2:
            found.append(
                f"`{field}.name` is 'categorical', expected tokens [tokens, classes] "
                f"or one, [classes], got shape {shape}"
            )
        if name == "pen" and (len(shape) != 2 or shape[-1] != 3):
            found.append(
                f"`{field}.name` is 'pen', expected points [points, 3], got shape "
                f"{shape}"
            )
        return found


@dataclasses.dataclass(frozen=True)
class FlowSettings:
    """The unimodal posteriors."""

    num_blocks: int = option(2, "MADE blocks; 0 is the Gaussian posterior.", at_least=0)
    hidden_sizes: tuple[int, ...] = option(
        (128, 128, 128), "Hidden layers of each MADE.", at_least=1
    )
    context_size: int = option(
        0,
        "Features of x_m that condition every block; 0: x_m acts through the base "
        "alone, as in the paper.",
        at_least=0,
    )
    max_log_scale: float = option(
        4.0, "Bound of each block's log-scale, nats.", above=0
    )
    num_posterior_samples: int = option(
        1, "Draws of z ~ q(z|X) a datum and step.", at_least=1
    )

    def cross_faults(self, field: str) -> list[str]:
        """A MADE has hidden layers."""
        if not self.num_blocks or self.hidden_sizes:
            return []
        return [f"`{field}.hidden_sizes` is (), expected one or more sizes"]
