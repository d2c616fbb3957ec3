"""Likelihoods of tokens and of pens, against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats

from jnf_jax.likelihoods import categorical, pen


def test_padding_adds_nothing_and_tokens_their_log_probability():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 5)), jnp.float32)
    tokens = np.array([[1, 4, 2, 0], [3, 0, 2, 2]])
    value = np.eye(5, dtype=np.float32)[tokens]
    value[0, 2:] = value[1, 3:] = 0
    log_p = special.log_softmax(logits, axis=-1)
    expected = [
        log_p[0, 0, 1] + log_p[0, 1, 4],
        log_p[1, 0, 3] + log_p[1, 1, 0] + log_p[1, 2, 2],
    ]

    def of_categorical(logits):
        found = categorical(logits, 1.0)
        return found.log_prob(value).sum(), (found.log_prob(value), found.mean())

    (_, (log_prob, mean)), gradient = jax.jit(
        jax.value_and_grad(of_categorical, has_aux=True)
    )(logits)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    np.testing.assert_allclose(mean, np.exp(log_p), rtol=1e-5)
    assert not np.asarray(gradient)[0, 2:].any()


def test_texts_that_end_have_the_mass_that_is_not_on_endless_ones():
    # Two tokens, of which 1 ends a text, and three places.
    logits = np.float32(np.random.default_rng(1).standard_normal((1, 3, 2)))
    texts = np.zeros((3, 3, 2), np.float32)
    for length, text in enumerate(texts):
        text[:length, 0], text[length, 1] = 1, 1
    log_prob = jax.jit(lambda x, text: categorical(x, 1.0).log_prob(text[None]))
    mass = sum(np.exp(log_prob(logits, text)) for text in texts)
    endless = np.exp(special.log_softmax(logits, axis=-1)[..., 0].sum())
    np.testing.assert_allclose(mass, 1 - endless, rtol=1e-5)


def test_a_pen_is_normal_in_place_and_bernoulli_in_lifting():
    output, value = np.random.default_rng(0).normal(size=(2, 2, 4, 3)).astype("f")
    value[..., 2] = [0, 0, 1, 1]
    p = 1 / (1 + np.exp(-output[..., 2]))
    expected = stats.norm.logpdf(value[..., :2], output[..., :2], 0.3).sum((1, 2))
    expected += np.log(np.where(value[..., 2] == 1, p, 1 - p)).sum(1)

    @jax.jit
    def of_pen(output, key):
        found = pen(output, 0.3)
        draws = found.sample(seed=key, sample_shape=4_000)
        return found.log_prob(jnp.asarray(value)), found.mean(), draws

    log_prob, got_mean, draws = jax.device_get(of_pen(output, jax.random.key(2)))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    mean = np.concatenate([output[..., :2], p[..., None]], axis=-1)
    np.testing.assert_allclose(got_mean, mean, rtol=1e-5)
    assert set(np.unique(draws[..., 2])) == {0.0, 1.0}
    # Standard errors: 0.3 / 63 of a place, at most 0.5 / 63 of lifting; five of them.
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.04)
