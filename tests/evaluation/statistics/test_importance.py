"""Means of weights do not depend on how they are cut into chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.evaluation.statistics.importance import log_means


@pytest.mark.parametrize(("num_samples", "at_once"), [(12, 4), (10, 4), (3, 4), (1, 1)])
def test_chunks_add_up(num_samples, at_once):
    chunks = np.random.default_rng(0).normal(-2_000, 20, (3, at_once, 2))
    calls = iter(chunks.astype(np.float32))
    found = log_means(
        lambda key: {"w": jnp.asarray(next(calls))},
        jax.random.key(0),
        num_samples,
        at_once,
    )["w"]
    log_w = chunks.reshape(-1, 2)[:num_samples]
    w = np.exp(log_w - log_w.max(0))
    expected = np.log(w.mean(0)) + log_w.max(0)
    # Numbers of 2,000 nats carry 1e-4 in float32.
    np.testing.assert_allclose(found.value, expected, atol=1e-3)
    np.testing.assert_allclose(found.ess, w.sum(0) ** 2 / (w**2).sum(0), rtol=1e-2)


def test_each_chunk_has_a_key_of_its_own():
    keys = []
    log_means(
        lambda key: keys.append(key) or {"w": jnp.zeros((2, 1))},
        jax.random.key(0),
        6,
        2,
    )
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 3


def test_no_samples():
    with pytest.raises(ValueError, match="`num_samples` is 0, expected >= 1"):
        log_means(lambda key: {}, jax.random.key(0), 0, 1)
