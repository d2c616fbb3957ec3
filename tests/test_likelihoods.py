"""Likelihoods of tokens and of pens, against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jnf_jax.likelihoods import LEARN_SCALE, LIKELIHOODS, categorical, pen
from jnf_jax.methods.joint_vae import View
from jnf_jax.methods.settings import LikelihoodSettings
from jnf_jax.networks.decoders import MlpDecoder
from jnf_jax.options import faults, identity_of


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


@pytest.mark.parametrize("name", LEARN_SCALE)
def test_a_scale_that_is_learnt_is_the_spread_of_what_is_not_explained(name):
    """The gradient of log p is zero at the maximum-likelihood scale of each feature."""
    view = View("a", (3,), MlpDecoder((3,), (4,), "identity"), name, 0.5, 1.0, True)
    params = view.init(jax.random.key(0), jnp.zeros((1, 2)))
    assert params["log_scale"] == pytest.approx(np.log(0.5))
    rng = np.random.default_rng(0)
    z, x = rng.standard_normal((50, 2)), rng.standard_normal((50, 3)) * [0.1, 1, 30]
    z, x = jnp.asarray(z, jnp.float32), jnp.asarray(x, jnp.float32)
    residual = np.asarray(x - view.decode(params, z).mean(), np.float64)
    spread = {
        "normal": np.sqrt(np.mean(residual**2, axis=0)),
        "laplace": np.mean(np.abs(residual), axis=0),
    }[name]

    def log_density(scale):  # SciPy's Laplace is −∞ from −745 nats on
        if name == "normal":
            return stats.norm.logpdf(residual, scale=scale).sum(axis=1)
        return np.sum(-np.abs(residual) / scale - np.log(2 * scale), axis=1)

    @jax.jit
    def ask(log_scale):
        def total(log_scale):
            log_p = view.decode({**params, "log_scale": log_scale}, z).log_prob(x)
            return jnp.sum(log_p), log_p

        return jax.value_and_grad(total, has_aux=True)(log_scale)

    (_, log_p), gradient = ask(jnp.log(jnp.asarray(spread, jnp.float32)))
    np.testing.assert_allclose(log_p, log_density(spread), rtol=1e-4)
    np.testing.assert_allclose(gradient, 0, atol=1e-2)
    # What is explained to the last bit does not make it fall for ever.
    (_, log_p), gradient = ask(jnp.full(3, -50.0))
    floor = np.full(3, 0.005)
    np.testing.assert_allclose(log_p, log_density(floor), rtol=1e-4)
    assert not np.any(gradient)


def test_scales_are_learnt_where_there_is_one():
    found = faults(LikelihoodSettings("bernoulli", learns_scale=True), "a")
    assert found == [
        "`a.learns_scale` is True, expected False for 'bernoulli': it is for laplace "
        "and normal"
    ]
    assert set(LEARN_SCALE) <= set(LIKELIHOODS)
    # Checkpoints that are older than the option are found again.
    plain = {"name": "normal", "scale": 0.5, "weight": 1.0}
    assert identity_of(LikelihoodSettings("normal", 0.5)) == plain
    learnt = LikelihoodSettings("normal", 0.5, learns_scale=True)
    assert identity_of(learnt) == plain | {"learns_scale": True}
