"""Training settings, and the optax transformation that they name."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
import optax.contrib

from jnf_jax.options import REQUIRED, option, require
from jnf_jax.runtime.parallel import PARAMETERS
from jnf_jax.stage import Group

SCHEDULES = ("constant", "cosine", "plateau")
OPTIMIZERS = ("adam", "amsgrad", "muon", "rmsprop")
SELECTIONS = ("best", "last")


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How a stage is trained."""

    num_steps: int = option(REQUIRED, "Optimiser steps in all.", at_least=1)
    batch_size: int = option(
        REQUIRED,
        "Data in a step over all devices; an epoch's last partial batch is dropped.",
        at_least=1,
    )
    seed: int = option(0, "Seed of initialisation, order and noise.", at_least=0)
    learning_rate: float = option(1e-3, "Peak of the learning rate.", above=0)
    schedule: str = option(
        "constant",
        '"constant"; "cosine" to zero at `num_steps`; "plateau": multiplied by '
        "`plateau_factor` after `plateau_patience_epochs` epochs in which the mean "
        "training loss did not improve by 1e-4 of itself.",
        one_of=SCHEDULES,
    )
    warmup_steps: int = option(
        0, 'Steps of a linear rise to the peak; also before "plateau".', at_least=0
    )
    optimizer: str = option(
        "adam",
        '"adam", "amsgrad", "muon" (kernels by orthogonalised momentum, all else by '
        'NAdam; for large batches) or "rmsprop" (`b2` is its decay, `b1` unused).',
        one_of=OPTIMIZERS,
    )
    prior_rate_factor: float = option(
        1.0,
        'Learning rate of a learnt prior (the parameters named "prior"), as a multiple '
        "of `learning_rate`.",
        at_least=0,
    )
    prior_start_step: int = option(
        0, "Step before which a learnt prior stays as it was initialised.", at_least=0
    )
    b1: float = option(0.9, "Decay of the first moment.", at_least=0, below=1)
    b2: float = option(0.999, "Decay of the second moment.", at_least=0, below=1)
    gradient_clip: float = option(
        0.0,
        "Largest global norm of the gradient; 0 is off. A prior with a rate or start "
        "of its own is clipped by itself, and so are all others.",
        at_least=0,
    )
    weight_decay: float = option(
        0.0,
        "λ of ½ λ ‖W‖² over all kernels, added to the loss: with λ = 1/(N s²) the best "
        "of N data is that under weights which are N(0, s²) a priori.",
        at_least=0,
        came_later=True,
    )
    decay_by_inputs: bool = option(
        False,
        "Whether λ is multiplied by a kernel's number of inputs n. Weights are then "
        "N(0, s²/n) a priori: what a layer gives varies alike, however wide it is.",
        came_later=True,
    )
    ema_decay: float = option(
        0.0,
        "Decay of an exponential moving average of the parameters, which is then what "
        "is evaluated and handed on; 0 is off.",
        at_least=0,
        below=1,
    )
    checkpoint_every: int = option(
        0,
        "Steps between checkpoints; 0 is as `evaluate_every`, but not within a minute "
        "of the one before. The last step, and one that a signal stops, are saved too.",
        at_least=0,
    )
    keep_checkpoints: int = option(
        2, "Checkpoints that are kept; 2 leave a spare.", at_least=1, of_identity=False
    )
    evaluate_every: int = option(
        0,
        "Steps between passes over the validation split; 0 is a twentieth of the run "
        "or one epoch, whichever is longer.",
        at_least=0,
    )
    select: str = option(
        "best",
        'Parameters to hand on: "best" of the validation loss, or the "last".',
        one_of=SELECTIONS,
    )
    steps_per_dispatch: int = option(
        0, "Steps of a compiled call; 0: `choose_steps_per_dispatch`.", at_least=0
    )
    plateau_patience_epochs: int = option(30, "See `schedule`.", at_least=1)
    plateau_factor: float = option(0.1, "See `schedule`.", above=0, below=1)
    log_every: int = option(50, "Steps averaged in one line of the log.", at_least=1)
    parameters: str = option(
        "replicated",
        '"replicated", whole on each device, or "sharded" over them, see '
        "`parallel.state_sharding`; changes no number beyond the order of summation.",
        one_of=PARAMETERS,
        of_identity=False,
    )

    def cross_faults(self, field: str) -> list[str]:
        """The warm-up is part of the run."""
        if self.warmup_steps <= self.num_steps:
            return []
        return [
            f"`{field}.warmup_steps` is {self.warmup_steps}, expected <= `num_steps` = "
            f"{self.num_steps}"
        ]

    def faults_of_fit(self, field: str) -> list[str]:
        """Faults of a stage that is fitted in one go, which takes one step."""
        needed = {"num_steps": 1, "select": "last", "ema_decay": 0.0}
        return [
            f"`{field}.{name}` is {getattr(self, name)!r}, expected {value!r} where a "
            "stage is fitted in one go"
            for name, value in needed.items()
            if getattr(self, name) != value
        ]


def make_schedule(settings: TrainSettings) -> optax.Schedule:
    """Learning rate by step, without what "plateau" multiplies it with."""
    peak, warmup = settings.learning_rate, settings.warmup_steps
    after = optax.constant_schedule(peak)
    if settings.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(settings.num_steps - warmup, 1))
    if not warmup:
        return after
    rise = optax.linear_schedule(0.0, peak, warmup)
    return optax.join_schedules([rise, after], [warmup])


def _by_group(
    scaled: Callable[[], optax.GradientTransformation], groups: Mapping[str, Group]
) -> optax.GradientTransformation:
    """Each group has a ``scaled`` of its own, which begins at its ``start_step``.

    Before it the gradients of a group are not looked at: those of a network whose last
    layer is still zero would leave second moments of zero behind, and the first steps
    after it many times too long.
    """

    def labels(params: dict) -> dict[str, str]:
        if missing := sorted(set(groups) - set(params)):
            raise ValueError(
                f"`groups` names {missing}, expected parameters among {sorted(params)}"
            )
        return {name: name if name in groups else "others" for name in params}

    def own(group: Group) -> optax.GradientTransformation:
        late = optax.conditionally_mask(scaled(), lambda step: step >= group.start_step)
        return optax.chain(late, optax.scale(group.rate_factor))

    parts = {name: own(group) for name, group in groups.items()}
    return optax.partition({**parts, "others": scaled()}, labels)


def _add_decay(settings: TrainSettings, gradients: Any, params: Any) -> Any:
    """Gradients of the loss and of the penalty on kernels: leaves of that name."""

    def of_leaf(path: tuple, gradient: jax.Array, leaf: jax.Array) -> jax.Array:
        if getattr(path[-1], "key", "") != "kernel":
            return gradient
        num_inputs = leaf.size // leaf.shape[-1] if settings.decay_by_inputs else 1
        return gradient + settings.weight_decay * num_inputs * leaf

    return jax.tree_util.tree_map_with_path(of_leaf, gradients, params)


MUON_RMS = 0.2
"""Root mean square of Muon's updates, that of Adam's (arXiv 2502.16982)."""


def _scale_by_muon(settings: TrainSettings) -> optax.GradientTransformation:
    """Muon for kernels, NAdam for all else, in steps of one size.

    A kernel [..., in, out] is a matrix G of all axes but the last by the last. With
    momentum M and M = U S Vᵀ its update is 0.2 √max(n, m) U Vᵀ, by five Newton–Schulz
    iterations (optax, arXiv 2409.20325): as long as Adam's, so that a learning rate
    serves both.
    """

    def matrices(params: Any) -> Any:
        def of_leaf(x):
            if x.ndim < 2:
                return None
            *rows, columns = range(x.ndim)
            return optax.contrib.MuonDimensionNumbers(tuple(rows), (columns,))

        return jax.tree.map(of_leaf, params)

    descent = optax.contrib.muon(
        1.0,
        adam_b1=settings.b1,
        adam_b2=settings.b2,
        consistent_rms=MUON_RMS,
        muon_weight_dimension_numbers=matrices,
    )
    return optax.chain(descent, optax.scale(-1.0))


def make_optimizer(
    settings: TrainSettings,
    steps_per_epoch: int,
    groups: Mapping[str, Group] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The transformation of gradients into updates that ``settings`` name.

    Weight decay → clipping → moments, the latter two apart for each of
    ``Stage.groups`` → learning rate → plateau. ``update`` takes the training loss as
    ``value=``, which "plateau" averages over an epoch (as PyTorch's ReduceLROnPlateau,
    which the authors use, stepped once an epoch).

    Raises:
      ValueError: lists every bad field of ``settings``.
    """
    require(settings, "settings")
    moments = {
        "adam": lambda: optax.scale_by_adam(settings.b1, settings.b2),
        "amsgrad": lambda: optax.scale_by_amsgrad(settings.b1, settings.b2),
        "muon": lambda: _scale_by_muon(settings),
        "rmsprop": lambda: optax.scale_by_rms(settings.b2),
    }
    scaled = moments[settings.optimizer]
    clip = settings.gradient_clip
    clipped = [optax.clip_by_global_norm(clip)] if clip else []
    if groups:
        # Unclipped it is no chain: the state keeps the shape that checkpoints have.
        each = (lambda: optax.chain(*clipped, scaled())) if clip else scaled
        parts = [_by_group(each, groups)]
    else:
        parts = [*clipped, scaled()]
    if settings.weight_decay:
        # Before the moments, unlike AdamW's: the loss that is stationary has it.
        parts.insert(0, optax.stateless(functools.partial(_add_decay, settings)))
    parts.append(optax.scale_by_learning_rate(make_schedule(settings)))
    if settings.schedule == "plateau":
        parts.append(
            optax.contrib.reduce_on_plateau(
                factor=settings.plateau_factor,
                patience=settings.plateau_patience_epochs,
                rtol=1e-4,
                accumulation_size=steps_per_epoch,
            )
        )
    return optax.with_extra_args_support(optax.chain(*parts))
