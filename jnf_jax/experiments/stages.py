"""A method's stage on a data set, as the trainer takes it; and what it caches."""

import dataclasses
import functools
from collections.abc import Collection
from typing import Any

import jax
import numpy as np

from jnf_jax.data.dataset import Dataset, indices_of
from jnf_jax.methods.method import Batch
from jnf_jax.runtime import parallel
from jnf_jax.runtime.batching import map_batches
from jnf_jax.stage import Group, Stage
from jnf_jax.training.optimizers import TrainSettings
from jnf_jax.types import Params

CACHE_BATCH_SIZE = 500
MAX_CACHED = 2_000_000
TRAINED_ON = ("train", "validation")
"""The splits that stages read."""


def bind_stage(
    stage: Stage,
    dataset: Dataset,
    params: dict[str, Params],
    mesh: jax.sharding.Mesh | None = None,
    settings: TrainSettings | None = None,
) -> Stage:
    """A method's stage on ``dataset``, reading the parameters of the stages it needs.

    Its batches are ``Batch(views, cached)``. ``mesh`` computes the cache; ``settings``
    of its training may give groups of parameters a rate of their own.

    Raises:
        ValueError: As ``check_stage``.
    """
    check_stage(stage, dataset, params)
    frozen, cached = {name: params[name] for name in stage.needs}, {}
    if stage.cache is not None:
        for split in TRAINED_ON:
            cached[split] = compute_cache(stage, dataset, split, frozen, mesh)
    bound = _bind(stage, dataset, frozen, cached, settings)
    of_train, changed = cached.get("train"), {}
    if stage.prepare is not None:
        prepared = stage.prepare(of_train)
        changed["init"] = lambda rng_key: stage.init(rng_key) | prepared
    if stage.fit is not None:
        changed["fit"] = functools.partial(stage.fit, cached=of_train)
    return dataclasses.replace(bound, **changed)


def bind_shapes(
    stage: Stage,
    dataset: Dataset,
    params: dict[str, Params],
    settings: TrainSettings | None = None,
) -> Stage:
    """``bind_stage`` for whoever only compiles: no number is computed.

    ``params`` are shapes, and so are the frozen parameters and the cache that the stage
    then has; its ``init`` gives the shapes of what is prepared.

    Raises:
        ValueError: As ``check_stage``.
    """
    check_stage(stage, dataset, params)
    frozen, cached = {name: params[name] for name in stage.needs}, {}
    if stage.cache is not None:
        for split in TRAINED_ON:
            cached[split] = cache_shapes(stage, dataset, split, frozen)
    return _bind(stage, dataset, frozen, cached, settings)


def _bind(
    stage: Stage,
    dataset: Dataset,
    frozen: dict[str, Params],
    cached: dict[str, Any],
    settings: TrainSettings | None,
) -> Stage:
    """``cached`` has what the stage caches of each split, if anything."""
    changed = {}
    for name in TRAINED_ON:
        split = dataset.splits[name]
        arrays = {"data": split.arrays}
        if split.present is not None:
            arrays["present"] = split.present
        if name in cached:
            arrays["cached"] = cached[name]
        changed |= {f"{name}_arrays": arrays, f"{name}_size": split.size}
        changed[f"{name}_read"] = split.read

    def fetch(arrays: Any, rows: Any) -> Batch:
        kept = arrays.get("cached"), arrays.get("present")
        of_rows, present = jax.tree.map(lambda a: a[indices_of(rows)], kept)
        return Batch(dataset.fetch(arrays["data"], rows), of_rows, present)

    return dataclasses.replace(
        stage,
        fetch=fetch,
        num_epochs=dataset.splits["train"].num_epochs,
        frozen=frozen if stage.reads_frozen else None,
        groups=parameter_groups(settings) if settings else {},
        **changed,
    )


def check_stage(stage: Stage, dataset: Dataset, known: Collection[str]) -> None:
    """Refuses a stage that needs one that is not ``known``, or too large a cache."""
    if missing := [name for name in stage.needs if name not in known]:
        raise ValueError(
            f"stage {stage.name!r} needs the parameters of {missing}; train "
            "them in the same run, or name a checkpoint with "
            f"--config.init.{missing[0]}=…"
        )
    for name in TRAINED_ON if stage.cache is not None else ():
        if (size := dataset.splits[name].size) > MAX_CACHED:
            raise ValueError(
                f"stage {stage.name!r} would cache the joint posterior of {size:,} "
                f"tuples, expected at most {MAX_CACHED:,}; use a smaller set, of fixed "
                "tuples (data.variant='fixed')"
            )


def parameter_groups(settings: TrainSettings) -> dict[str, Group]:
    """A learnt prior learns apart where a rate or a start of its own is set.

    One norm over all would let the VAE's gradient, which is larger by orders of
    magnitude, decide how far an energy moves.
    """
    group = Group(settings.prior_rate_factor, settings.prior_start_step)
    return {} if group == Group() else {"prior": group}


def compute_cache(
    stage: Stage,
    dataset: Dataset,
    split: str,
    params: dict[str, Params],
    mesh: jax.sharding.Mesh | None = None,
) -> Any:
    """``stage.cache`` of all data of a split, on the host; leaves [N, ...]."""
    data = dataset.splits[split]
    mesh = parallel.dividing_mesh(mesh, min(CACHE_BATCH_SIZE, data.size))
    params, arrays = parallel.put((params, data.arrays), parallel.replicated(mesh))

    @jax.jit
    def one_batch(params, arrays, rows, present):
        views = parallel.constrain_batch(dataset.fetch(arrays, rows), mesh)
        return stage.cache(params, views, *present)

    def put(_: int, indices: Any) -> Any:
        present = ()
        if data.present is not None:
            present = ({m: has[indices] for m, has in data.present.items()},)
        rows, present = parallel.put_batch((data.rows(indices), present), mesh)
        return one_batch(params, arrays, rows, present)

    return map_batches(put, data.size, CACHE_BATCH_SIZE)


def cache_shapes(
    stage: Stage, dataset: Dataset, split: str, params: dict[str, Params]
) -> Any:
    """The shapes of ``compute_cache``, of parameters that are shapes; leaves [N, ...].

    One tuple tells them.
    """
    data = dataset.splits[split]
    present = ()
    if data.present is not None:
        present = ({m: has[:1] for m, has in data.present.items()},)

    def of_batch(params: Any, arrays: Any, rows: Any, *present: Any) -> Any:
        return stage.cache(params, dataset.fetch(arrays, rows), *present)

    rows = data.rows(np.arange(1, dtype=np.int32))
    one = jax.eval_shape(of_batch, params, data.arrays, rows, *present)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((data.size, *x.shape[1:]), x.dtype), one
    )
