"""Training settings, and the optax transformation that they name."""

import dataclasses
from collections.abc import Callable, Mapping

import optax

from jnf_jax.runtime.parallel import PARAMETERS
from jnf_jax.stage import Group

SCHEDULES = ("constant", "cosine", "plateau")
OPTIMIZERS = ("adam", "amsgrad", "rmsprop")
SELECTIONS = ("best", "last")


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How a stage is trained; every field counts as part of the run's identity.

    Attributes:
      num_steps: optimiser steps in all.
      batch_size: data in one step over all devices; the last partial batch of an epoch
        is dropped.
      seed: of initialisation, order of the data and noise of the loss.
      learning_rate: its peak.
      schedule: "constant"; "cosine" to zero at ``num_steps``; "plateau": multiplied by
        ``plateau_factor`` after ``plateau_patience_epochs`` epochs in which the mean
        training loss did not improve by 1e-4 of itself.
      warmup_steps: linear from zero to the peak; also before "plateau".
      optimizer: "adam", "amsgrad" or "rmsprop" (``b2`` is its decay, ``b1`` unused).
      prior_rate_factor: the learning rate of a learnt prior (the parameters named
        "prior"), as a multiple of ``learning_rate``.
      prior_start_step: step before which a learnt prior stays as it was initialised.
      b1: decay of the first moment.
      b2: decay of the second moment.
      gradient_clip: largest global norm of the gradient; 0 is off. A prior with a rate
        or start of its own is clipped by itself, and so are all others.
      ema_decay: of an exponential moving average of the parameters, which is then what
        is evaluated and handed on; 0 is off.
      checkpoint_every: steps between checkpoints; 0 is as ``evaluate_every``.
      keep_checkpoints: how many to keep, at least 1; 2 leave one to fall back to.
      evaluate_every: steps between passes over the validation split; 0 is a twentieth
        of the run or one epoch, whichever is longer.
      select: "best" hands on the parameters of the lowest validation loss, "last" those
        of the last step.
      steps_per_dispatch: 0 lets ``trainer.choose_steps_per_dispatch`` choose.
      plateau_patience_epochs: see ``schedule``.
      plateau_factor: see ``schedule``.
      log_every: steps whose metrics are averaged into one line of the log.
      parameters: "replicated", whole on each device, or "sharded" over them, see
        ``parallel.state_sharding``; changes no number beyond the order of summation,
        and is no part of the identity.
    """

    num_steps: int
    batch_size: int
    seed: int = 0
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup_steps: int = 0
    optimizer: str = "adam"
    prior_rate_factor: float = 1.0
    prior_start_step: int = 0
    b1: float = 0.9
    b2: float = 0.999
    gradient_clip: float = 0.0
    ema_decay: float = 0.0
    checkpoint_every: int = 0
    keep_checkpoints: int = 2
    evaluate_every: int = 0
    select: str = "best"
    steps_per_dispatch: int = 0
    plateau_patience_epochs: int = 30
    plateau_factor: float = 0.1
    log_every: int = 50
    # No part of the text either, by which classifiers are found again.
    parameters: str = dataclasses.field(default="replicated", repr=False)

    def faults(self, prefix: str = "") -> list[str]:
        """Every bad field at once, each as "<prefix><field> must be …, got …"."""
        known = {
            "schedule": SCHEDULES,
            "optimizer": OPTIMIZERS,
            "select": SELECTIONS,
            "parameters": PARAMETERS,
        }
        at_least = {
            "num_steps": 1,
            "batch_size": 1,
            "seed": 0,
            "warmup_steps": 0,
            "gradient_clip": 0,
            "prior_start_step": 0,
            "checkpoint_every": 0,
            "keep_checkpoints": 1,
            "evaluate_every": 0,
            "steps_per_dispatch": 0,
            "plateau_patience_epochs": 1,
            "log_every": 1,
        }
        below_one = ("b1", "b2", "ema_decay")
        faults = []
        for field, names in known.items():
            if getattr(self, field) not in names:
                faults.append((field, f"one of {', '.join(names)}"))
        for field, least in at_least.items():
            # Written so that NaN is a fault as well.
            if not getattr(self, field) >= least:
                faults.append((field, f">= {least}"))
        for field in below_one:
            if not 0 <= getattr(self, field) < 1:
                faults.append((field, ">= 0 and < 1"))
        if not 0 < self.learning_rate < float("inf"):
            faults.append(("learning_rate", "> 0 and finite"))
        if not 0 <= self.prior_rate_factor < float("inf"):
            faults.append(("prior_rate_factor", ">= 0 and finite"))
        if not 0 < self.plateau_factor < 1:
            faults.append(("plateau_factor", "> 0 and < 1"))
        if self.num_steps >= 1 and self.warmup_steps > self.num_steps:
            faults.append(("warmup_steps", f"<= num_steps = {self.num_steps}"))
        return self._told(faults, prefix)

    def faults_of_fit(self, prefix: str = "") -> list[str]:
        """Likewise, for a stage that is fitted in one go: it takes one step."""
        needed = {"num_steps": 1, "select": "last", "ema_decay": 0.0}
        faults = [
            (field, f"{value!r} where a stage is fitted in one go")
            for field, value in needed.items()
            if getattr(self, field) != value
        ]
        return self._told(faults, prefix)

    def _told(self, faults: list[tuple[str, str]], prefix: str) -> list[str]:
        return [
            f"{prefix}{field} must be {expected}, got {getattr(self, field)!r}"
            for field, expected in faults
        ]


def make_schedule(settings: TrainSettings) -> optax.Schedule:
    """Learning rate by step, without what "plateau" multiplies it with.

    Args:
      settings: see ``TrainSettings``.

    Returns:
      A function of the step number.
    """
    peak, warmup = settings.learning_rate, settings.warmup_steps
    if settings.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(settings.num_steps - warmup, 1))
    else:
        after = optax.constant_schedule(peak)
    if not warmup:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), after],
                                [warmup])  # fmt: skip


def _by_group(
    scaled: Callable[[], optax.GradientTransformation], groups: Mapping[str, Group]
) -> optax.GradientTransformation:
    """``scaled`` of each group is its own, and begins at the group's ``start_step``.

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


def make_optimizer(
    settings: TrainSettings,
    steps_per_epoch: int,
    groups: Mapping[str, Group] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The transformation of gradients into updates that ``settings`` name.

    Clipping → moments, both apart for each group → learning rate → plateau. ``update``
    takes the training loss as ``value=``, which "plateau" averages over an epoch (as
    PyTorch's ReduceLROnPlateau, which the authors use, stepped once an epoch).

    Args:
      settings: see ``TrainSettings``.
      steps_per_epoch: optimiser steps in one pass over the training data.
      groups: see ``Stage.groups``.

    Returns:
      An optax transformation.

    Raises:
      ValueError: lists every bad field of ``settings``.
    """
    if faults := settings.faults():
        raise ValueError("; ".join(faults))
    moments = {
        "adam": lambda: optax.scale_by_adam(settings.b1, settings.b2),
        "amsgrad": lambda: optax.scale_by_amsgrad(settings.b1, settings.b2),
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
