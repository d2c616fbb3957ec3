"""Likelihoods against sums and densities written out, and draws of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jnf_jax.likelihoods import (
    LEARN_SCALE,
    LIKELIHOODS,
    OfKnownEntries,
    categorical,
    pen,
    scale_shape,
)
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


@pytest.mark.parametrize("name", ["laplace", "normal"])
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
        "`a.learns_scale` is True, expected False for 'bernoulli': it is for "
        + ", ".join(LEARN_SCALE)
    ]
    assert set(LEARN_SCALE) <= set(LIKELIHOODS)
    # Checkpoints that are older than the option are found again.
    plain = {"name": "normal", "scale": 0.5, "weight": 1.0}
    assert identity_of(LikelihoodSettings("normal", 0.5)) == plain
    learnt = LikelihoodSettings("normal", 0.5, learns_scale=True)
    assert identity_of(learnt) == plain | {"learns_scale": True}


# --- counts, scores, angles, and numbers with outliers -------------------------------

OUTPUT = jnp.array([[0.3, -1.2], [2.1, 0.4]])


@pytest.mark.parametrize(
    ("name", "scale", "options", "points", "volume"),
    [
        ("poisson", 1.0, {}, np.arange(120), 1),
        ("negative_binomial", 0.7, {}, np.arange(900), 1),
        ("ordinal", 0.8, {"num_classes": 2}, np.arange(2), 1),
        ("ordinal", np.array([[0.4, 2.0], [1, 1]], "f"), {"num_classes": 4}, None, 1),
        ("von_mises", 0.6, {}, np.arange(-256, 256) * np.pi / 256, np.pi / 256),
        ("student_t", 0.5, {"degrees_of_freedom": 3.0}, None, None),
    ],
)
def test_densities_integrate_to_one_and_agree_with_means_and_draws(
    name, scale, options, points, volume
):
    if name == "student_t":  # substituted: x = x̂ + tan u, so that the tails are there
        points = np.tan((np.arange(4096) + 0.5) / 4096 * np.pi - np.pi / 2)
        volume = (1 + points[:, None] ** 2) * np.pi / 4096
    points = np.arange(4) if points is None else points
    scale = jnp.asarray(scale) if isinstance(scale, np.ndarray) else scale

    @jax.jit
    def ask(output, points, key):
        whole = LIKELIHOODS[name](output, scale, **options)
        each = jax.vmap(lambda x: whole.distribution.log_prob(x * jnp.ones((2, 2))))
        if name in ("poisson", "negative_binomial"):

            def of(x):
                hidden = jnp.full((2, 2), jnp.nan)
                first = whole.log_prob(hidden.at[:, 0].set(x))
                return jnp.stack([first, whole.log_prob(hidden.at[:, 1].set(x))], -1)

            each = jax.vmap(of)
        draws = whole.sample(seed=key, sample_shape=8_000)
        return each(points), whole.mean(), draws, whole.log_prob(draws[0])

    log_p, mean, draws, of_draw = jax.device_get(
        ask(OUTPUT, jnp.asarray(points, jnp.float32), jax.random.key(0))
    )
    assert of_draw.shape == (2,) and np.isfinite(of_draw).all()
    mass = np.exp(log_p.astype(float)).reshape(len(points), -1) * volume
    np.testing.assert_allclose(mass.sum(0), 1, rtol=2e-4)
    if name == "student_t":
        np.testing.assert_allclose(np.median(draws, axis=0), mean, atol=0.05)
        assert stats.t.logpdf(1.0, 3, 0.3, 0.5) == pytest.approx(
            float(LIKELIHOODS[name](OUTPUT[:1, :1], 0.5, **options).log_prob(
                jnp.ones((1, 1)))[0]), rel=1e-5,
        )  # fmt: skip
        return
    of_points = np.exp(1j * points) if name == "von_mises" else points
    of_draws = np.exp(1j * draws) if name == "von_mises" else draws
    expected = (mass * of_points[:, None]).sum(0).reshape(2, 2)
    # Five standard errors of a mean of 8,000 draws.
    error = 5 * of_draws.std(axis=0) / 8_000**0.5
    assert (np.abs(of_draws.mean(axis=0) - expected) < error).all()
    told = np.angle(expected) if name == "von_mises" else expected
    np.testing.assert_allclose(mean, told, rtol=1e-3, atol=1e-4)


def test_size_factors_are_a_rows_total_over_the_median():
    """Also where entries are missing: their share of the mean is taken off."""
    log_mean = jnp.log(jnp.array([[2.0, 3.0, 5.0]]))
    x = jnp.array([[8.0, 2.0, 10.0]])
    sized = LIKELIHOODS["poisson"](log_mean, 1.0, median_total=10.0)
    expected = stats.poisson.logpmf([8, 2, 10], [4, 6, 10]).sum()
    np.testing.assert_allclose(sized.log_prob(x), [expected], rtol=1e-5)
    holed = x.at[0, 2].set(jnp.nan)  # 10 counts where 5 are expected
    expected = stats.poisson.logpmf([8, 2], [4, 6]).sum()
    np.testing.assert_allclose(sized.log_prob(holed), [expected], rtol=1e-5)
    np.testing.assert_allclose(sized.mean(), [[2, 3, 5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "truth", "options"),
    [
        ("poisson", (1.0, 1.0), {}),
        ("negative_binomial", (1.0, 0.5), {}),
        ("ordinal", (0.4, 1.5), {"num_classes": 4}),
        ("von_mises", (1.0, 0.5), {}),
        ("student_t", (1.0, 0.5), {"degrees_of_freedom": 4.0}),
    ],
)
def test_parameters_are_recovered_from_draws_by_gradients(name, truth, options):
    """Location and scale of 4,000 draws, by 200 steps on the mean log-likelihood."""
    num, shape = 4_000, scale_shape(name, 1, options.get("num_classes", 0))

    def of(location, log_scale):
        output = jnp.full((num, 1), location)
        return LIKELIHOODS[name](output, jnp.exp(log_scale), **options)

    @jax.jit
    def fit(key):
        x = of(truth[0], jnp.full(shape, jnp.log(truth[1]))).sample(seed=key)

        def loss(params):
            return -of(*params).log_prob(x).mean()

        def step(params, _):
            gradient = jax.grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient), None

        start = (jnp.zeros(()), jnp.zeros(shape))
        return jax.lax.scan(step, start, length=200)[0]

    location, log_scale = jax.device_get(fit(jax.random.key(1)))
    # Standard errors are 0.03 and less of the location, 0.05 of the log-scale; five.
    assert location == pytest.approx(truth[0], abs=0.15)
    if name != "poisson":
        np.testing.assert_allclose(log_scale, np.log(truth[1]), atol=0.25)


def test_masked_counts_scores_and_angles_have_finite_gradients():
    for name in ("poisson", "negative_binomial", "ordinal", "von_mises", "student_t"):
        options = {"num_classes": 3} if name == "ordinal" else {}

        def loss(output, name=name, options=options):
            known = OfKnownEntries(LIKELIHOODS[name](output, 0.5, **options))
            return known.log_prob(jnp.array([[1.0, jnp.nan]])).sum()

        gradient = jax.grad(loss)(jnp.array([[0.2, 0.3]]))
        assert gradient[0, 0] != 0 and gradient[0, 1] == 0


def test_cut_points_of_an_ordinal_lie_around_zero():
    """Three classes at x̂ = 0: P(0) = P(2) = σ(−w/2), and the rest is class 1."""
    p = LIKELIHOODS["ordinal"](jnp.zeros((1, 1)), jnp.asarray([3.0]), num_classes=3)
    found = np.exp([float(p.log_prob(jnp.full((1, 1), k))[0]) for k in range(3)])
    end = 1 / (1 + np.exp(1.5))
    np.testing.assert_allclose(found, [end, 1 - 2 * end, end], rtol=1e-5)
