"""A stage of training is data: a method declares it, a data set completes it, one
trainer runs it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax.types import Params, Verdict, Views


class Group(NamedTuple):
    """How one group of parameters learns apart from all others.

    Its gradient is clipped by its own norm, and its moments are its own.

    Attributes:
        rate_factor: The learning rate, as a multiple of that of the others.
        start_step: Step before which the group stays as it was initialised.
    """

    rate_factor: float = 1.0
    start_step: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """One thing to train; data, not a subclass.

    A method declares the first part; ``experiments.stages.bind_stage`` adds the second,
    which says where batches come from.

    Attributes:
        name: "joint", "unimodal", …; also seeds its random numbers.
        init: ``rng_key -> params`` of this stage.
        loss: ``(params, frozen, rng_key, batch, *memory) -> (mean loss f32[], {name:
            f32[]}, *memory)``: what is minimised, scalars to log, and the memory of the
            next step. A scalar "…/first_<event>" counts steps until the event, 0 being
            never: of several the smallest is logged, of all others the mean.
        needs: Names of the stages whose parameters it reads, never updates.
        settings: Fields of the experiment, beside ``model``, that decide what its
            parameters are; of the stage's identity.
        cache: ``(params by stage, views) -> pytree of [B, ...]``: computed once for the
            whole set and handed to ``loss`` in ``batch.cached``; None: nothing cached.
            Of rows that lack views it takes ``present`` {m: bool[B]} as well.
        reads_beside_cache: Whether the loss of a stage with a cache reads ``frozen``
            too, which otherwise is None: the cache is then all that the stage reads.
        prepare: ``cached -> members of params`` from the cache of all training data, on
            the host, in place of those of ``init``; None: none. The loss must give
            them no gradient.
        fit: ``(rng_key, cached) -> params``, likewise, in one go and in place of the
            one step that there is; None: parameters are trained by gradient. The loss
            then only tells how good they are. A bound stage holds the cache already.
        init_memory: ``rng_key -> tuple`` of what the loss hands from step to step and
            nothing learns (chains that persist); () is nothing.
        watch: Scalars of the loss, as they are logged -> what to tell a person.
        has_convolutions: Whether its gradient contains convolutions; see
            ``trainer.choose_steps_per_dispatch``.
        of: The method whose stage it is, where another one has the same: checkpoints
            of either serve both. Empty: the method's own.
        fetch: ``fetch(arrays, rows) -> batch``, pure; runs inside the step. Rows are
            i32[B] or, where there is a ``train_read``, what that returns.
        train_arrays: Pytree of arrays, put on the devices once, whole on each.
        train_size: Number of training data.
        train_read: ``read(i32[b]) -> pytree of [b, ...]`` on the host, in threads; None
            where the data are in ``train_arrays``.
        validation_arrays: As ``train_arrays``; may be None without validation data.
        validation_size: Number of validation data; 0 is none.
        validation_read: As ``train_read``.
        num_epochs: How many epochs ``train_size`` counts: more than one where fresh
            data were drawn for each.
        frozen: Pytree that the loss reads and nothing updates.
        groups: Top-level names of ``params`` -> how those learn apart.
    """

    name: str
    init: Callable[[jax.Array], Params]
    loss: Callable[..., tuple]
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    cache: Callable[[dict[str, Params], Views], Any] | None = None
    reads_beside_cache: bool = False
    prepare: Callable[[Any], Params] | None = None
    fit: Callable[..., Params] | None = None
    init_memory: Callable[[jax.Array], tuple] = lambda rng_key: ()
    watch: Callable[[Mapping[str, float]], Verdict] = lambda metrics: Verdict()
    has_convolutions: bool = True
    of: str = ""

    fetch: Callable[[Any, Any], Any] | None = None
    train_arrays: Any = None
    train_size: int = 0
    train_read: Callable[[np.ndarray], Any] | None = None
    validation_arrays: Any = None
    validation_size: int = 0
    validation_read: Callable[[np.ndarray], Any] | None = None
    num_epochs: int = 1
    frozen: Any = None
    groups: Mapping[str, Group] = dataclasses.field(default_factory=dict)

    @property
    def reads_frozen(self) -> bool:
        """Whether the loss is handed the parameters of the stages in ``needs``."""
        return bool(self.needs) and (self.cache is None or self.reads_beside_cache)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Steps in one pass over the data, at least 1."""
        return max(self.train_size // self.num_epochs // batch_size, 1)
