"""One stage on its way: its compiled programs, and what is done with them.

``trainer.train`` decides when; these functions advance, validate, check and save.
"""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax import checkpoint
from jnf_jax.runtime import parallel, processes
from jnf_jax.stage import Stage
from jnf_jax.training import batches, train_step
from jnf_jax.training.compiling import compiler_options
from jnf_jax.training.feed import Feed, validation_mesh, validation_rows
from jnf_jax.training.optimizers import TrainSettings, make_optimizer
from jnf_jax.training.progress import MetricsWindow, summarise
from jnf_jax.training.resume import continuation
from jnf_jax.training.train_step import TrainState

LARGE = 100.0
"""Values of data beyond which their scale may be why a loss is not finite."""


class Programs(NamedTuple):
    """The compiled functions; each is traced at most once a run."""

    init: Callable
    copy: Callable
    step: Callable
    steps: Callable
    validate: Callable
    record_validation: Callable
    all_finite: Callable
    gather: Callable


class Run(NamedTuple):
    """Everything that does not change while a stage trains."""

    stage: Stage
    settings: TrainSettings
    directory: Path
    identity: dict[str, Any]
    mesh: jax.sharding.Mesh | None
    log: Callable[[dict[str, Any]], None]
    programs: Programs
    continued: tuple[dict[str, int], ...] = ()
    """Runs with fewer steps that this one continues, see ``resume.continuation``."""

    @property
    def field(self) -> str:
        """The field of the state that is handed on."""
        return train_step.selected_field(self.settings)

    def key(self, purpose: str = "") -> jax.Array:
        """The stage's key of a purpose; "" is that into which steps are folded."""
        return train_step.stage_key(self.settings.seed, f"{self.stage.name}{purpose}")

    def record(self, event: str, step: int, values: dict[str, Any]) -> None:
        """Logs one flat record; one process of a run does."""
        if processes.is_first():
            self.log({"event": event, "stage": self.stage.name, "step": step, **values})

    def record_metrics(self, event: str, step: int, metrics: dict[str, float]) -> None:
        """Likewise, with the warning that the stage has of its metrics, if any."""
        warning = self.stage.watch(metrics).warning
        told = {"warning": warning} if warning else {}
        self.record(event, step, {**metrics, **told})


def compile_programs(
    stage: Stage, settings: TrainSettings, mesh: jax.sharding.Mesh | None
) -> Programs:
    """Wraps the functions of ``train_step`` in jit; compilation waits for their use.

    The stage is captured, so its ``loss`` may be any closure. Every result but a state
    is whole on each device of ``mesh``; programs that take a state and return one
    donate it.
    """
    optimizer = make_optimizer(
        settings, stage.steps_per_epoch(settings.batch_size), stage.groups
    )
    step = train_step.make_step(stage, optimizer, settings, mesh)

    def init(rng_key: jax.Array) -> TrainState:
        return train_step.init_state(rng_key, stage, optimizer, settings)

    whole = parallel.replicated(mesh)
    state = parallel.state_sharding(
        jax.eval_shape(init, jax.random.key(0)), mesh, settings.parameters
    )
    own_mesh = validation_mesh(stage, settings, mesh)
    judge = train_step.make_loss(stage, own_mesh)

    def compiled(
        function: Callable, *donate: int, to: Any = whole, once: bool = False
    ) -> Callable:
        return jax.jit(
            function,
            donate_argnums=donate,
            out_shardings=to,
            compiler_options=compiler_options(jax.default_backend(), once),
        )

    return Programs(
        init=compiled(init, to=state, once=True),
        copy=compiled(lambda tree: jax.tree.map(jnp.copy, tree), to=state),
        step=compiled(step, 0, to=(state, whole)),
        steps=compiled(train_step.make_steps(step), 0, to=(state, whole)),
        validate=compiled(lambda *x: judge(*x)[1][0], to=parallel.replicated(own_mesh)),
        record_validation=compiled(train_step.record_validation, 0, to=state),
        all_finite=compiled(train_step.all_finite),
        gather=compiled(lambda tree: tree),
    )


def new_state(run: Run) -> TrainState:
    """The state before the first step."""
    # Not the key that steps are folded into: splitting a key may repeat those.
    return run.programs.init(run.key("/init"))


class Restored(NamedTuple):
    """Where a run goes on; by default at its start.

    Attributes:
      state: the newest intact one.
      seconds: spent on it.
      position: in the data, of ``Feed.position``.
      continued: see ``Run``.
      is_extended: whether it has more steps to go than when it was saved.
    """

    state: TrainState | None = None
    seconds: float = 0.0
    position: dict[str, Any] | None = None
    continued: tuple[dict[str, int], ...] = ()
    is_extended: bool = False


def restored_state(run: Run) -> Restored:
    """The newest intact checkpoint; each damaged one that is passed over is warned of.

    Raises:
      ValueError: the checkpoint is of another identity, listing what differs, or does
        not fit the stage; the processes of this run do not find the same one.
    """
    path, damaged = checkpoint.newest_intact(run.directory)
    for _, reason in damaged:
        warnings.warn(f"{reason}; resuming from {path or 'step 0'}", stacklevel=2)
    newest = -1 if path is None else checkpoint.read_step(path)
    told = f"the step of the newest checkpoint in {run.directory}"
    processes.require_same(told, newest)
    if path is None:
        return Restored()
    stored = checkpoint.read_metadata(path)
    continued = continuation(path, stored, run.identity, newest)
    like = jax.eval_shape(run.programs.init, run.key("/init"))
    places = parallel.state_sharding(like, run.mesh, run.settings.parameters)
    # The parameters that later stages read are an item of their own.
    (params, rest), (params_at, rest_at) = _split(run, like), _split(run, places)
    params = checkpoint.restore_params(path, params, sharding=params_at)
    rest = checkpoint.restore_train_state(path, rest, sharding=rest_at)
    # What was read may share memory with the reader's buffers; a donated state may not.
    state = run.programs.copy(rest._replace(**{run.field: params}))
    return Restored(
        state,
        stored["seconds"],
        stored.get("position"),
        tuple(continued),
        len(continued) > len(stored.get("continued", [])),
    )


def _split(run: Run, state: TrainState) -> tuple[Any, TrainState]:
    """The field that is handed on, and the state without it."""
    return getattr(state, run.field), state._replace(**{run.field: None})


def make_advance(
    run: Run, feed: Feed
) -> Callable[[TrainState, int, int], tuple[TrainState, dict]]:
    """``advance(state, step, count) -> (state, metrics)``: one compiled call.

    A ``count`` of 1 is the step itself, more are a scan: two programs in all, as long
    as ``count`` takes one other value.
    """
    stage = run.stage
    frozen, arrays, rng_key = parallel.put(
        (stage.frozen, stage.train_arrays, run.key()), parallel.replicated(run.mesh)
    )

    def advance(state: TrainState, step: int, count: int) -> tuple[TrainState, dict]:
        program = run.programs.step if count == 1 else run.programs.steps
        return program(state, frozen, arrays, feed.take(step, count), rng_key)

    return advance


def make_validate(run: Run) -> Callable[[TrainState, int], TrainState]:
    """``validate(state, step) -> state``: notes and logs the metrics of the split."""
    stage, settings = run.stage, run.settings
    if not stage.validation_size:
        return lambda state, step: state
    mesh = validation_mesh(stage, settings, run.mesh)
    all_rows, num_batches = validation_rows(stage, settings, mesh)
    # The same noise every time: differences between steps are those of parameters.
    rng_keys = list(jax.random.split(run.key("/validation"), num_batches))
    frozen, arrays, rng_keys = parallel.put(
        (stage.frozen, stage.validation_arrays, rng_keys), parallel.replicated(mesh)
    )

    def validate(state: TrainState, step: int) -> TrainState:
        judged = state.ema_params if settings.ema_decay else state.params, state.memory
        if mesh != run.mesh:
            judged = parallel.put(judged, parallel.replicated(mesh))
        found = summarise(
            [
                run.programs.validate(*judged, frozen, arrays, rows, rng_key)
                for rows, rng_key in zip(all_rows(), rng_keys, strict=True)
            ]
        )
        if not np.isfinite(found["loss"]):
            raise _diverged(
                run, f"the validation loss after step {step} is {found['loss']}"
            )
        run.record_metrics("validation", step, found)
        return run.programs.record_validation(state, np.float32(found["loss"]))

    return validate


def fit(run: Run, state: TrainState) -> tuple[TrainState, float]:
    """``Stage.fit`` in place of the one step: validated and saved as trained ones are.

    Returned are the state after it, and the seconds that it took. The parameters of
    ``state``, a new one, say the shapes and dtypes.

    Raises:
      ValueError: ``fit`` gave other shapes or dtypes than ``Stage.init``.
      FloatingPointError: a parameter or the validation loss is not finite.
    """
    begin = time.monotonic()
    params = run.stage.fit(run.key())
    got, expected = (
        jax.tree.map(lambda x: (x.shape, str(x.dtype)), tree)
        for tree in (params, state.params)
    )
    if got != expected:
        raise ValueError(
            f"stage {run.stage.name!r}: `fit` gave {got}, expected {expected}"
        )
    params = jax.device_put(params, parallel.replicated(run.mesh))
    state = state._replace(params=params, step=state.step + 1)
    state = make_validate(run)(state, 1)
    seconds = time.monotonic() - begin
    save_if_finite(run, state, MetricsWindow(0), 1, seconds, None)
    return state, seconds


def check_loss(run: Run, state: TrainState, window: MetricsWindow, step: int) -> None:
    """Raises FloatingPointError if a loss in these steps was not finite."""
    bad = int(state.first_bad_step)
    if bad >= 0:
        failure = run.stage.watch(window.largest()).failure
        raise _diverged(
            run,
            f"the loss is not finite at step {bad}, found in steps "
            f"{window.first_step} to {step}: {failure or _explain(run, window, bad)}",
        )


def _explain(run: Run, window: MetricsWindow, step: int) -> str:
    """What a person needs to find out why: terms, and ranges in the batch of a step."""
    stage, settings = run.stage, run.settings
    rows = batches.batch_indices(
        step,
        1,
        name=stage.name,
        size=stage.train_size,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )[0]
    read = rows if stage.train_read is None else stage.train_read(rows)
    batch = stage.fetch(stage.train_arrays, read)
    told, largest = [], 0.0
    if terms := [name for name in window.not_finite() if name != "loss"]:
        told.append(f"so are {', '.join(terms)}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
        is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
        if not is_float or leaf.shape[:1] != rows.shape:
            continue
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        values = np.asarray(leaf, np.float32).reshape(len(rows), -1)
        is_finite = np.isfinite(values).all(axis=1)
        if is_finite.all():
            low, high = float(values.min()), float(values.max())
            told.append(f"{name} goes from {low:g} to {high:g}")
            largest = max(largest, -low, high)
        else:
            row = rows[~is_finite].min()
            told.append(f"{name} is not finite in row {row} of the training data")
    if largest > LARGE:
        told.append("bring values to a scale of about one, as jnf_jax.fit does")
    return "; ".join(told)


def _diverged(run: Run, what: str) -> FloatingPointError:
    path, _ = checkpoint.newest_intact(run.directory)
    last = f"the last good checkpoint is {path}"
    last = last if path else "there is no checkpoint before it"
    return FloatingPointError(f"stage {run.stage.name!r}: {what}; {last}")


def save_if_finite(
    run: Run,
    state: TrainState,
    window: MetricsWindow,
    step: int,
    seconds: float,
    position: dict[str, Any] | None,
) -> None:
    """Saves the state after ``step`` steps, unless something in it is not finite.

    ``window`` has the metrics since somebody looked for NaN, ``seconds`` is the wall
    time of training so far, ``position`` is ``Feed.position()`` now.

    Raises:
      FloatingPointError: a loss in the window or a parameter is not finite.
      OSError: the disk is full, say; see ``checkpoint.save``.
    """
    check_loss(run, state, window, step)
    # A gradient can be NaN where the loss is not.
    if not run.programs.all_finite((state.params, state.ema_params)):
        steps = f"steps {window.first_step} to {step}"
        raise _diverged(run, f"a parameter is not finite, found in {steps}")
    about = {"identity": run.identity, "seconds": seconds, "position": position}
    about |= {"continued": list(run.continued)} if run.continued else {}
    path = checkpoint.save(
        run.directory,
        int(state.step),
        *_split(run, state),
        about,
        keep=run.settings.keep_checkpoints,
    )
    identifier = checkpoint.checkpoint_id(path)
    run.record("checkpoint", step, {"checkpoint_id": identifier})
