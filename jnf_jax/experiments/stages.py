"""A method's stage on a data set, as the trainer takes it; and what it caches."""

import dataclasses
import functools
from collections.abc import Collection
from typing import Any

import jax

from jnf_jax.data.dataset import Dataset, indices_of
from jnf_jax.methods.method import Batch
from jnf_jax.runtime import parallel
from jnf_jax.runtime.batching import map_batches
from jnf_jax.stage import Group, Stage
from jnf_jax.training.optimizers import TrainSettings
from jnf_jax.types import Params

CACHE_BATCH_SIZE = 500
MAX_CACHED = 2_000_000


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
    frozen = {name: params[name] for name in stage.needs}
    has_cache, changed = stage.cache is not None, {}
    for name in ("train", "validation"):
        split = dataset.splits[name]
        arrays = {"data": split.arrays}
        if split.present is not None:
            arrays["present"] = split.present
        if has_cache:
            arrays["cached"] = compute_cache(stage, dataset, name, frozen, mesh)
        changed |= {f"{name}_arrays": arrays, f"{name}_size": split.size}
        changed[f"{name}_read"] = split.read

    def fetch(arrays: Any, rows: Any) -> Batch:
        kept = arrays.get("cached"), arrays.get("present")
        cached, present = jax.tree.map(lambda a: a[indices_of(rows)], kept)
        return Batch(dataset.fetch(arrays["data"], rows), cached, present)

    cached = changed["train_arrays"].get("cached")
    if stage.prepare is not None:
        prepared = stage.prepare(cached)
        changed["init"] = lambda rng_key: stage.init(rng_key) | prepared
    if stage.fit is not None:
        changed["fit"] = functools.partial(stage.fit, cached=cached)
    return dataclasses.replace(
        stage,
        fetch=fetch,
        num_epochs=dataset.splits["train"].num_epochs,
        frozen=None if has_cache or not frozen else frozen,
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
    for name in ("train", "validation") if stage.cache is not None else ():
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
