"""A method's stage on a data set, as the trainer takes it; and what it caches."""

from typing import Any

import jax

from jnf_jax.data.dataset import Dataset, indices_of
from jnf_jax.methods.method import Batch, MethodStage
from jnf_jax.runtime import parallel
from jnf_jax.runtime.batching import map_batches
from jnf_jax.training.trainer import Stage
from jnf_jax.types import Params

CACHE_BATCH_SIZE = 500
MAX_CACHED = 2_000_000


def build_stage(
    method_stage: MethodStage,
    dataset: Dataset,
    params: dict[str, Params],
    mesh: jax.sharding.Mesh | None = None,
) -> Stage:
    """The stage on ``dataset``, reading the parameters of the stages it needs.

    Args:
        method_stage: A member of ``Method.stages``.
        dataset: Its train and validation splits are used.
        params: {stage: parameters} of at least ``method_stage.needs``.
        mesh: Devices that compute what is cached.

    Returns:
        A stage whose batches are ``Batch(views, cached)``.

    Raises:
        ValueError: If a needed stage is missing from ``params``.
    """
    missing = [name for name in method_stage.needs if name not in params]
    if missing:
        raise ValueError(
            f"stage {method_stage.name!r} needs the parameters of {missing}; train "
            "them in the same run, or name a checkpoint with "
            f"--config.init.{missing[0]}=…"
        )
    frozen = {name: params[name] for name in method_stage.needs}
    has_cache = method_stage.cache is not None
    arrays = {}
    for split in ("train", "validation"):
        arrays[split] = {"data": dataset.splits[split].arrays}
        if has_cache and dataset.splits[split].size > MAX_CACHED:
            raise ValueError(
                f"stage {method_stage.name!r} would cache the joint posterior of "
                f"{dataset.splits[split].size:,} tuples, expected at most "
                f"{MAX_CACHED:,}; use a smaller set, of fixed tuples "
                "(data.variant='fixed')"
            )
        if has_cache:
            arrays[split]["cached"] = compute_cache(
                method_stage, dataset, split, frozen, mesh
            )

    def fetch(arrays: Any, rows: Any) -> Batch:
        cached = jax.tree.map(lambda a: a[indices_of(rows)], arrays.get("cached"))
        return Batch(dataset.fetch(arrays["data"], rows), cached)

    init, fit, prepared = method_stage.init, None, {}
    cached = arrays["train"].get("cached")
    if method_stage.prepare is not None:
        prepared = method_stage.prepare(cached)
        init = lambda rng_key: method_stage.init(rng_key) | prepared  # noqa: E731
    if method_stage.fit is not None:
        fit = lambda rng_key: method_stage.fit(prepared, rng_key, cached)  # noqa: E731

    return Stage(
        name=method_stage.name,
        init=init,
        loss=method_stage.loss,
        fetch=fetch,
        fit=fit,
        train_arrays=arrays["train"],
        train_size=dataset.splits["train"].size,
        train_read=dataset.splits["train"].read,
        validation_arrays=arrays["validation"],
        validation_size=dataset.splits["validation"].size,
        validation_read=dataset.splits["validation"].read,
        num_epochs=dataset.splits["train"].num_epochs,
        frozen=None if has_cache or not frozen else frozen,
        init_memory=method_stage.init_memory,
        has_convolutions=method_stage.has_convolutions,
    )


def compute_cache(
    method_stage: MethodStage,
    dataset: Dataset,
    split: str,
    params: dict[str, Params],
    mesh: jax.sharding.Mesh | None = None,
) -> Any:
    """``method_stage.cache`` of all data of a split, on the host; leaves [N, ...]."""
    data = dataset.splits[split]
    mesh = parallel.dividing_mesh(mesh, min(CACHE_BATCH_SIZE, data.size))
    params, arrays = parallel.put((params, data.arrays), parallel.replicated(mesh))

    @jax.jit
    def one_batch(params, arrays, rows):
        views = parallel.constrain_batch(dataset.fetch(arrays, rows), mesh)
        return method_stage.cache(params, views)

    return map_batches(
        lambda _, indices: one_batch(
            params, arrays, parallel.put_batch(data.rows(indices), mesh)
        ),
        data.size,
        CACHE_BATCH_SIZE,
    )
