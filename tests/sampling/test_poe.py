import functools
import re

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import linear_gaussian

from jnf_jax.sampling import (
    gaussian_product,
    initial_positions,
    matched_product,
    product_log_density,
)


def gaussian(mean, scale):
    return distrax.MultivariateNormalDiag(jnp.asarray(mean), jnp.asarray(scale))


def test_product_density_is_the_sum_minus_powers_of_any_prior():
    experts = [
        gaussian([0.0, 1.0], [1.0, 2.0]),
        gaussian([2.0, -1.0], [0.5, 1.0]),
        gaussian([-1.0, 0.5], [0.7, 0.4]),
    ]
    prior = distrax.Independent(
        distrax.Laplace(jnp.zeros(2), jnp.asarray([1.0, 3.0])), 1
    )
    z = jnp.asarray([0.3, -0.7])
    log_probs = [expert.log_prob for expert in experts]

    @jax.jit
    def ask(z):
        products = [
            product_log_density(log_probs[:size], prior.log_prob)(z)
            for size in (1, 2, 3)
        ]
        once = product_log_density(log_probs, prior.log_prob, prior_exponent=1)(z)
        terms = [log_prob(z) for log_prob in log_probs]
        return products, once, terms, prior.log_prob(z)

    products, once, terms, log_prior = jax.device_get(ask(z))
    for size, got in enumerate(products, 1):
        expected = sum(terms[:size]) - (size - 1) * log_prior
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_allclose(once, sum(terms) - log_prior, rtol=1e-6)


def test_defended_ratios_are_bounded_and_their_product_is_a_density():
    # Three experts of variance 4 over N(0, 1): the plain quotient is exp(5 z² / 8).
    experts = [gaussian([m], [2.0]).log_prob for m in (0.0, 1.0, -2.0)]
    prior = gaussian([0.0], [1.0]).log_prob
    weight = 0.01
    defended = product_log_density(experts, prior, defensive_weight=weight)
    z = np.linspace(-30, 30, 60_001, dtype=np.float32)[:, None]
    on_z = lambda density: np.float64(jax.jit(jax.vmap(density))(z))  # noqa: E731
    log_p, found = on_z(prior), on_z(defended)
    assert (found <= log_p - 3 * np.log(weight) + 1e-4).all()
    # Far out each ratio is at the bound: what is left is e^-3 p.
    np.testing.assert_allclose(found[-1], log_p[-1] - 3 * np.log(weight), rtol=1e-5)
    mass, inside = np.exp(found), np.abs(z[:, 0]) < 15
    np.testing.assert_allclose(mass.sum(), mass[inside].sum(), rtol=1e-6)
    q = np.exp([on_z(expert) for expert in experts])[:, inside]
    p = np.exp(log_p[inside])
    exact = p * np.prod(q / ((1 - weight) * p + weight * q), axis=0)
    np.testing.assert_allclose(mass[inside], exact, rtol=2e-5)


def test_without_a_defensive_weight_it_is_the_quotient():
    experts = [gaussian([m], [0.5]).log_prob for m in (0.0, 1.0, -1.0)]
    prior = gaussian([0.0], [1.0]).log_prob
    z = np.linspace(-2, 2, 9, dtype=np.float32)[:, None]
    plain = jax.jit(jax.vmap(product_log_density(experts, prior)))(z)
    for weight, tolerance in ((0.0, 0.0), (1e-9, 1e-4)):
        log_density = product_log_density(experts, prior, defensive_weight=weight)
        got = jax.jit(jax.vmap(log_density))(z)
        np.testing.assert_allclose(got, plain, atol=tolerance)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(defensive_weight=1.0), r"`defensive_weight` is 1.0, expected in \[0, 1"),
        (dict(defensive_weight=-0.1), r"`defensive_weight` is -0.1, expected in"),
        (
            dict(defensive_weight=0.1, prior_exponent=2),
            "`prior_exponent` is 2, expected None with a `defensive_weight` of 0.1",
        ),
    ],
)
def test_wrong_defences(options, told):
    expert = gaussian([0.0], [1.0]).log_prob
    with pytest.raises(ValueError, match=told):
        product_log_density([expert], expert, **options)


def test_one_expert_alone_does_not_ask_the_prior():
    nowhere = lambda z: jnp.asarray(-jnp.inf)  # noqa: E731
    expert = gaussian([0.0], [1.0])
    z = jnp.asarray([0.5])
    assert product_log_density([expert.log_prob], nowhere)(z) == expert.log_prob(z)


def test_empty_subset():
    with pytest.raises(ValueError, match="subset of experts is empty"):
        product_log_density([], lambda z: z.sum())
    with pytest.raises(ValueError, match="subset of experts is empty"):
        gaussian_product(jnp.zeros((0, 2)), jnp.ones((0, 2)))
    with pytest.raises(ValueError, match="subset of experts is empty"):
        initial_positions(jax.random.key(0), jnp.zeros((0, 2, 3)))


@pytest.mark.parametrize("subset", [("a",), ("a", "c"), ("a", "b", "c")])
def test_closed_form_is_the_exact_subset_posterior(subset):
    # Experts p(z|x_j) of the linear-Gaussian model: their product over p(z)^(|S|-1) is
    # p(z|x_S), which the model gives by conditioning its dense joint Gaussian.
    model = linear_gaussian({"a": 3, "b": 4, "c": 5}, 3, seed=1, diagonal=True)
    _, views = model.sample(seed=2, num=4)
    experts = [model.posterior({m: views[m]}) for m in subset]
    mean = np.stack([m for m, _ in experts])
    scale = np.stack([np.broadcast_to(np.sqrt(np.diag(c)), (4, 3)) for _, c in experts])
    got = jax.device_get(jax.jit(gaussian_product)(np.float32(mean), np.float32(scale)))
    mean, covariance = model.posterior({m: views[m] for m in subset})
    assert got.is_proper.all()
    np.testing.assert_allclose(got.mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got.scale[0], np.sqrt(np.diag(covariance)), rtol=1e-4)


def test_closed_form_is_the_product_density():
    rng = np.random.default_rng(0)
    mean = jnp.asarray(rng.standard_normal((3, 2, 4)), jnp.float32)
    scale = jnp.asarray(rng.uniform(0.3, 0.8, (3, 2, 4)), jnp.float32)
    prior = gaussian([0.5, -1.0, 0.0, 2.0], [1.5, 1.0, 2.0, 1.2])
    z = jnp.asarray(rng.standard_normal((50, 4)), jnp.float32)

    @jax.jit
    def constants():
        product = gaussian_product(
            mean, scale, prior_mean=prior.loc, prior_scale=prior.scale_diag
        )
        found = []
        for i in range(2):
            experts = [gaussian(mean[j, i], scale[j, i]).log_prob for j in range(3)]
            log_density = product_log_density(experts, prior.log_prob)(z)
            log_prob = gaussian(product.mean[i], product.scale[i]).log_prob(z)
            found.append(log_density - log_prob)
        return found

    for constant in jax.device_get(constants()):
        # terms of up to a few hundred nats in float32
        np.testing.assert_allclose(constant, constant[0], atol=2e-3)


def test_improper_products_are_marked_and_stay_finite():
    # Lambda_S = 2 / s^2 - 1 > 0 iff s^2 < 2; dimension 0 only of the first datum fails.
    scale = np.float32([[2.0, 0.5], [0.5, 0.5], [1.0, 1.0]])
    mean = np.float32([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    product = jax.device_get(
        jax.jit(gaussian_product)(np.stack([mean, -mean]), np.stack([scale, scale]))
    )
    assert product.is_proper.tolist() == [False, True, True]
    np.testing.assert_allclose(1 - product.is_proper.mean(), 1 / 3, rtol=1e-6)
    # without the division: precision 2 / 4
    np.testing.assert_allclose(product.scale[0, 0], np.sqrt(2.0), rtol=1e-6)
    np.testing.assert_allclose(product.scale[0, 1], (2 / 0.25 - 1) ** -0.5, rtol=1e-6)
    np.testing.assert_allclose(product.scale[2], 1.0, rtol=1e-6)
    assert np.isfinite(product.mean).all()


def test_diagnostic_chains_take_the_experts_in_turn():
    samples = np.broadcast_to(
        np.arange(3, dtype="f")[:, None, None, None], (3, 6, 50, 1)
    )
    start = np.asarray(jax.jit(initial_positions)(jax.random.key(1), samples))
    np.testing.assert_array_equal(np.diff(start[..., 0], axis=0) % 3, 1)
    assert set(start[0, :, 0]) == {0.0, 1.0, 2.0}  # data begin with different ones


def test_chains_start_from_their_own_draw():
    samples = np.arange(2 * 4 * 5 * 3, dtype="f").reshape(2, 4, 5, 3)
    start = np.asarray(jax.jit(initial_positions)(jax.random.key(2), samples))
    matches = (start[None] == samples).all(-1).any(0)
    assert matches.all()


def test_a_matched_product_is_the_dense_posterior_of_a_subset():
    """p(z|x_a, x_b) from p(z|x_a), p(z|x_b) and p(z), with dense covariances."""
    model = linear_gaussian({"a": 3, "b": 4}, 3, seed=1)
    _, views = model.sample(seed=2, num=4)
    experts = [model.posterior({m: views[m]}) for m in ("a", "b")]
    mean = np.float32([m for m, _ in experts])
    inverse = [np.linalg.inv(c) for _, c in experts]
    precision = np.float32([np.broadcast_to(p, (4, 3, 3)) for p in inverse])
    got = jax.jit(matched_product)(mean, precision, jnp.zeros(3), jnp.eye(3))
    mean, covariance = model.posterior(views)
    assert got.is_proper.all()
    np.testing.assert_allclose(got.mean, mean, rtol=1e-3, atol=1e-4)
    factor = np.asarray(got.factor, np.float64)
    np.testing.assert_allclose(
        factor @ factor.swapaxes(1, 2),
        np.broadcast_to(covariance, (4, 3, 3)),
        rtol=1e-3,
        atol=1e-5,
    )
    v = jax.random.normal(jax.random.key(0), (5, 4, 3))
    np.testing.assert_allclose(got.whiten(got.colour(v)), v, atol=1e-3)


@pytest.mark.parametrize("weight", [0.0, 0.02])
def test_directions_without_a_quotient_are_floored_or_not_divided(weight):
    """Two experts of variance 4 and 1/4, turned by 30 degrees, over N(0, I).

    With e > 0 an expert is divided by the normal that matches (1 - e) p + e q_j.
    """
    turn = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    means = np.array([[1.0, 2.0], [3.0, -1.0]])
    own = turn @ np.diag([4.0, 0.25]) @ turn.T
    divisors = [
        ((1 - weight) * np.eye(2) + weight * own)
        + weight * (1 - weight) * np.outer(m, m)
        for m in means
    ]
    inverse = np.linalg.inv
    undivided = 2 * inverse(own)
    precision = undivided + np.eye(2) - sum(map(inverse, divisors))
    pull = inverse(own) @ means.sum(0)
    divided = sum(inverse(d) @ m for d, m in zip(divisors, weight * means, strict=True))
    root = inverse(np.linalg.cholesky(undivided))
    kept, axes = np.linalg.eigh(root @ precision @ root.T)
    for floor, variance in ((0.05, 20.0), (None, 1.0)):
        is_kept = kept > (floor or 0)
        assert is_kept.tolist() == [False, True]
        scales = np.where(is_kept, 1 / kept, variance)
        ratio = axes @ np.diag(scales) @ axes.T
        pulls = axes.T @ root @ np.stack([pull, pull - divided], axis=-1)
        centre = np.where(is_kept, pulls[:, 1] / kept, pulls[:, 0])
        got = jax.device_get(
            matched_product(
                jnp.asarray(means[:, None], jnp.float32),
                jnp.asarray([[inverse(own)]] * 2, jnp.float32),
                jnp.zeros(2),
                jnp.eye(2),
                defensive_weight=weight,
                floor=floor,
            )
        )
        assert not got.is_proper[0]
        factor = np.float64(got.factor[0])
        np.testing.assert_allclose(
            factor @ factor.T, root.T @ ratio @ root, rtol=1e-3, atol=1e-4
        )
        np.testing.assert_allclose(
            got.mean[0], root.T @ axes @ centre, rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("vmapped", [False, True])
def test_no_factorisation_is_of_a_batch(vmapped):
    """On CPUs batches can wait for each other for ever (`one_by_one.py`)."""
    if jax.default_backend() != "cpu":
        pytest.skip("jaxlib's LAPACK kernels are those of CPUs")
    precision = jnp.tile(2 * jnp.eye(3), (2, 5, 7, 1, 1))
    match = functools.partial(matched_product, defensive_weight=0.1)
    axes = (1, 1, None, None)
    compiled = jax.jit(jax.vmap(match, axes) if vmapped else match).lower(
        precision[..., 0], precision, jnp.zeros(3), jnp.eye(3)
    )
    text = compiled.compile().as_text()
    calls = re.findall(r"= (.*) custom-call.*lapack_(\w+?)_ffi", text)
    assert {name for _, name in calls} >= {"spotrf", "strsm", "ssyevd"}
    assert not [call for call in calls if re.search(r"\[\d+,\d+,\d+", call[0])]
