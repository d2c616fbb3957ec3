"""Two-sample tests of posteriors: against each other, against long Markov chains."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax import sampling
from jnf_jax.evaluation.statistics.two_sample import TwoSample, two_sample_test
from jnf_jax.evaluation.subject import Subject
from jnf_jax.methods.decoder_posterior import DecoderPosterior
from jnf_jax.methods.method import shared_latent
from jnf_jax.methods.subset import NUM_DIAGNOSTIC_CHAINS
from jnf_jax.runtime import parallel
from jnf_jax.runtime.batching import map_batches
from jnf_jax.types import Params, Views

NUM_COMPONENTS = 16
"""Principal components of x_m that a classifier sees."""

NUM_MOMENT_DRAWS = 16
"""Draws of q_m(z|x_m) whose mean and sd tell a classifier where z would be."""


def unimodal_test(subject: Subject, modality: str, num_pairs: int) -> TwoSample:
    """(x_m, z ~ q(z|X)) against (x_m, z ~ q_m(z|x_m)), one of each a tuple.

    The classifier sees principal components of x_m; z; log q_m(z|x_m); and (z − μ)/σ
    with the moments of further draws of q_m(z|x_m), which are functions of x_m too.
    ``num_pairs`` tuples are looked at, or all that there are.
    """
    from sklearn.decomposition import PCA  # half a second that only this pays

    inference, params, settings = subject.inference, subject.params, subject.protocol
    num = min(num_pairs, subject.num_tuples)
    root = jax.random.fold_in(
        jax.random.key(settings.seed), inference.modalities.index(modality)
    )

    def look(number: int, views: Views) -> dict[str, jax.Array]:
        keys = jax.random.split(jax.random.fold_in(root, number), 2 + NUM_MOMENT_DRAWS)
        joint, _ = inference.infer(params, keys[0], views, tuple(inference.modalities))
        own, *others = (
            inference.infer(params, key, views, (modality,))[0] for key in keys[1:]
        )
        others = jnp.stack([shared_latent(z) for z in others])
        return {
            "x": views[modality].reshape(len(views[modality]), -1),
            "joint": _features(inference, modality, params, views, joint, others),
            "own": _features(inference, modality, params, views, own, others),
        }

    found = subject.over_tuples(look, num)
    size = min(NUM_COMPONENTS, *found["x"].shape)
    components = PCA(size, svd_solver="randomized", random_state=settings.seed)
    of_data = components.fit_transform(found["x"])
    samples = (
        np.concatenate([of_data, found[name]], axis=1) for name in ("joint", "own")
    )
    return two_sample_test(*samples, seed=settings.seed)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _features(inference, modality, params, views: Views, z: Any, others: jax.Array):
    """z, (z − μ)/σ and log q_m(z|x_m), f32[B, 2 D + 1]."""
    log_q = inference.unimodal_log_probs(params, views, z)[modality]
    z = shared_latent(z)
    standard = (z - others.mean(axis=0)) / others.std(axis=0)
    return jnp.concatenate([z, standard, log_q[:, None]], axis=-1)


def chain_test(
    posterior: DecoderPosterior,
    params: dict[str, Params],
    rng_key: jax.Array,
    views: Views,
    subset: tuple[str, ...],
    num_chains: int,
    *,
    seed: int = 0,
    mesh: jax.sharding.Mesh | None = None,
) -> tuple[TwoSample, sampling.ChainDiagnostics, float]:
    """Draws of q_S(z|X_S) against the ends of chains on p(z|x_S), R of each a datum.

    A chain starts where another draw of q_S ended, so that modes which q_S has no draw
    in are hardly found. The classifier sees z and the chains' log density, less their
    mean over both samples of a datum and over their sd.

    Args:
        posterior: The chains, and the subset posterior that is tested.
        params: Parameters by stage.
        rng_key: Typed key.
        views: {m: f32[n, ...]}, few data.
        subset: S, of one modality or more.
        num_chains: R.
        seed: Of the classifier.
        mesh: Devices over which chains are split.

    Returns:
        The test; R-hat and ESS of chains as long; mean acceptance.
    """
    inference, num = posterior.inference, len(views[subset[0]])
    keys = jax.random.split(rng_key, 6)
    # Datum by datum, then again: what adapts on the first rows adapts on all data.
    many = {
        m: jnp.tile(x, (num_chains,) + (1,) * (x.ndim - 1)) for m, x in views.items()
    }
    # `tile` leaves all rows on every device: split them again.
    many = parallel.put_batch(many, mesh)
    step_size = inference.adapt(params, keys[0], many, subset)
    first, start = (
        inference.infer(params, key, many, subset, step_size)[0] for key in keys[1:3]
    )
    step_size = posterior.adapt(params, keys[3], many, subset, start)
    end, info = posterior.refine(params, keys[4], many, subset, start, step_size)
    apart = start.reshape(num_chains, num, -1)[:NUM_DIAGNOSTIC_CHAINS]
    diagnosis = posterior.diagnose(params, keys[5], views, subset, apart, step_size)

    def one_batch(number: int, rows: np.ndarray) -> tuple[jax.Array, ...]:
        del number, rows  # all at once: only to fetch them
        return tuple(
            jnp.column_stack([z, posterior.log_joint(params, many, subset, z)])
            for z in (first, end)
        )

    samples = map_batches(one_batch, len(first), len(first))
    return (
        two_sample_test(*_standardised(samples, num), seed=seed),
        diagnosis,
        float(info.acceptance.mean()),
    )


def _standardised(samples: tuple[np.ndarray, ...], num: int) -> list[np.ndarray]:
    """Less the mean of a datum's rows in both samples, over their sd."""
    by_datum = [rows.reshape(-1, num, rows.shape[-1]) for rows in samples]
    both = np.concatenate(by_datum)
    mean, sd = both.mean(axis=0), both.std(axis=0)
    return [((x - mean) / sd).reshape(-1, x.shape[-1]) for x in by_datum]
