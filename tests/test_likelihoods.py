"""Likelihoods of tokens and of pens, against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jnf_jax.likelihoods import categorical, pen


def test_padding_adds_nothing_and_tokens_their_log_probability():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 5)), jnp.float32)
    tokens = np.array([[1, 4, 2, 0], [3, 0, 2, 2]])
    value = np.eye(5, dtype=np.float32)[tokens]
    value[0, 2:] = value[1, 3:] = 0
    log_p = np.asarray(jax.nn.log_softmax(logits))
    expected = [
        log_p[0, 0, 1] + log_p[0, 1, 4],
        log_p[1, 0, 3] + log_p[1, 1, 0] + log_p[1, 2, 2],
    ]
    found = categorical(logits, 1.0)
    np.testing.assert_allclose(found.log_prob(value), expected, rtol=1e-5)
    np.testing.assert_allclose(found.mean(), np.exp(log_p), rtol=1e-5)
    assert not jax.grad(lambda x: categorical(x, 1.0).log_prob(value).sum())(logits)[
        0, 2:
    ].any()


def test_texts_that_end_have_the_mass_that_is_not_on_endless_ones():
    # Two tokens, of which 1 ends a text, and three places.
    logits = jax.random.normal(jax.random.key(1), (1, 3, 2))
    texts = np.zeros((3, 3, 2), np.float32)
    for length, text in enumerate(texts):
        text[:length, 0], text[length, 1] = 1, 1
    mass = sum(np.exp(categorical(logits, 1.0).log_prob(text[None])) for text in texts)
    endless = np.exp(jax.nn.log_softmax(logits)[..., 0].sum())
    np.testing.assert_allclose(mass, 1 - endless, rtol=1e-5)


def test_a_pen_is_normal_in_place_and_bernoulli_in_lifting():
    output, value = np.random.default_rng(0).normal(size=(2, 2, 4, 3)).astype("f")
    value[..., 2] = [0, 0, 1, 1]
    p = 1 / (1 + np.exp(-output[..., 2]))
    expected = stats.norm.logpdf(value[..., :2], output[..., :2], 0.3).sum((1, 2))
    expected += np.log(np.where(value[..., 2] == 1, p, 1 - p)).sum(1)
    found = pen(jnp.asarray(output), 0.3)
    np.testing.assert_allclose(found.log_prob(jnp.asarray(value)), expected, rtol=1e-5)
    mean = np.concatenate([output[..., :2], p[..., None]], axis=-1)
    np.testing.assert_allclose(found.mean(), mean, rtol=1e-5)
    draws = np.asarray(found.sample(seed=jax.random.key(2), sample_shape=4_000))
    assert set(np.unique(draws[..., 2])) == {0.0, 1.0}
    # Standard errors: 0.3 / 63 of a place, at most 0.5 / 63 of lifting; five of them.
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.04)
