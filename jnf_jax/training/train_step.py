"""The one pure step that trains every stage.

Nothing here touches a disk or a clock: ``trainer.train`` compiles these functions and
drives them.
"""

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32

from jnf_jax.runtime import parallel
from jnf_jax.stage import Stage
from jnf_jax.training.optimizers import TrainSettings


class TrainState(NamedTuple):
    """All that a step changes; keys are derived from seed and step, so none is kept.

    ``best_loss`` and ``validation_loss``, which is the latest, are inf before the first
    validation (no NaN, for ``jax_debug_nans``); ``first_bad_step`` is -1 or the first
    step whose loss was not finite.
    """

    params: Any
    opt_state: Any
    ema_params: Any  # None without an average
    best_params: Any  # None for select="last"
    memory: tuple  # see Stage.init_memory
    best_loss: Float[Array, ""]
    validation_loss: Float[Array, ""]
    step: Int32[Array, ""]
    first_bad_step: Int32[Array, ""]


def selected_field(settings: TrainSettings) -> str:
    """Name of the ``TrainState`` field that is handed on to later stages."""
    if settings.select == "best":
        return "best_params"
    return "ema_params" if settings.ema_decay else "params"


def stage_key(seed: int, name: str) -> jax.Array:
    """The typed key from which all of a stage's random numbers derive."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))


def init_state(
    rng_key: jax.Array,
    stage: Stage,
    optimizer: optax.GradientTransformationExtraArgs,
    settings: TrainSettings,
) -> TrainState:
    """The state before the first step.

    Compile this function with ``out_shardings``: buffers of its own for every leaf are
    what makes donating the state safe.
    """
    params = stage.init(rng_key)
    # Not a small number: splitting the key, as ``init`` may, repeats those.
    memory_key = jax.random.fold_in(rng_key, zlib.crc32(b"memory"))

    def copy(tree: Any) -> Any:
        return jax.tree.map(jnp.copy, tree)

    return TrainState(
        params=params,
        opt_state=optimizer.init(params),
        ema_params=copy(params) if settings.ema_decay else None,
        best_params=copy(params) if settings.select == "best" else None,
        memory=stage.init_memory(memory_key),
        best_loss=jnp.full((), jnp.inf, jnp.float32),
        validation_loss=jnp.full((), jnp.inf, jnp.float32),
        step=jnp.zeros((), jnp.int32),
        first_bad_step=jnp.full((), -1, jnp.int32),
    )


def make_loss(
    stage: Stage, mesh: jax.sharding.Mesh | None = None
) -> Callable[..., tuple[jax.Array, tuple[dict[str, jax.Array], tuple]]]:
    """The loss of rows, fetched and split over the devices of ``mesh``::

        loss(params, memory, frozen, arrays, rows, rng_key) -> (loss, (metrics, memory))

    ``rows`` are as ``Stage.fetch`` takes them; ``metrics`` are f32[] by name, "loss"
    among them. Parameters that are split as well are put together.
    """

    def loss_of(
        params: Any, memory: tuple, frozen: Any, arrays: Any, rows: Any, rng_key: Any
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], tuple]]:
        batch = parallel.constrain_batch(stage.fetch(arrays, rows), mesh)
        params = parallel.constrain_whole(params, mesh)
        loss, metrics, *memory = stage.loss(params, frozen, rng_key, batch, *memory)
        metrics = {**metrics, "loss": loss}
        for name, value in metrics.items():
            if jnp.shape(value):
                raise ValueError(
                    f"metric {name!r} has shape {jnp.shape(value)}, expected a scalar: "
                    "the loss of a stage takes the mean over its batch"
                )
        return loss, (metrics, tuple(memory))

    return loss_of


def make_step(
    stage: Stage,
    optimizer: optax.GradientTransformationExtraArgs,
    settings: TrainSettings,
    mesh: jax.sharding.Mesh | None = None,
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
    """One optimiser step as a pure function.

    That is ``step(state, frozen, arrays, rows, rng_key) -> (state, metrics)``, see
    ``make_loss``, with the stage's key.
    """
    gradient = jax.value_and_grad(make_loss(stage, mesh), has_aux=True)

    def step(
        state: TrainState, frozen: Any, arrays: Any, rows: Any, rng_key: jax.Array
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        step_key = jax.random.fold_in(rng_key, state.step)
        (loss, (metrics, memory)), grads = gradient(
            state.params, state.memory, frozen, arrays, rows, step_key
        )
        updates, opt_state = optimizer.update(
            grads, state.opt_state, state.params, value=loss
        )
        params, ema_params = optax.apply_updates(state.params, updates), None
        if settings.ema_decay:
            ema_params = optax.incremental_update(
                params, state.ema_params, 1.0 - settings.ema_decay
            )
        is_first_bad = ~jnp.isfinite(loss) & (state.first_bad_step < 0)
        state = state._replace(
            params=params,
            opt_state=opt_state,
            ema_params=ema_params,
            memory=memory,
            step=state.step + 1,
            first_bad_step=jnp.where(is_first_bad, state.step, state.first_bad_step),
        )
        return state, metrics

    return step


def make_steps(step: Callable) -> Callable:
    """``step`` over the leading axis of rows [K, B, ...]; metrics become f32[K]."""

    def steps(state, frozen, arrays, rows, rng_key):
        def body(state: TrainState, rows: Any):
            return step(state, frozen, arrays, rows, rng_key)

        return jax.lax.scan(body, state, rows)

    return steps


def record_validation(state: TrainState, loss: Float[Array, ""]) -> TrainState:
    """Notes a validation loss; keeps the parameters when it is the lowest so far."""
    state = state._replace(validation_loss=loss)
    if state.best_params is None:
        return state
    candidate = state.params if state.ema_params is None else state.ema_params
    is_better = loss < state.best_loss
    best_loss, best_params = jax.tree.map(
        lambda new, old: jnp.where(is_better, new, old),
        (loss, candidate),
        (state.best_loss, state.best_params),
    )
    return state._replace(best_loss=best_loss, best_params=best_params)


def all_finite(tree: Any) -> jax.Array:
    """Whether every floating-point value of ``tree`` is finite; bool[]."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.array([jnp.all(jnp.isfinite(x)) for x in leaves]).all()
