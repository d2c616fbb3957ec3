"""Products and mixtures of experts against their closed forms, in float64."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import linear_gaussian

from jnf_jax.aggregation import (
    Experts,
    choose,
    experts_of,
    mixture_log_prob,
    normal_kl,
    product,
    stack,
    subset_products,
    take,
)
from jnf_jax.types import GaussianCode

RNG = np.random.default_rng(0)
MEAN, SCALE = RNG.standard_normal((3, 8, 2)), RNG.uniform(0.3, 2.0, (3, 8, 2))
PRESENT = np.array(list(itertools.product([True, False], repeat=3))).T  # every subset


def experts(mean=MEAN, scale=SCALE, present=PRESENT):
    codes = [
        GaussianCode(jnp.asarray(m, jnp.float32), jnp.asarray(s, jnp.float32))
        for m, s in zip(mean, scale, strict=True)
    ]
    return experts_of(codes, jnp.asarray(present))


def true_product(mean, scale, with_prior):
    """Mean and scale of Π_j N(μ_j, σ_j²), of the first axis; (0, 1) of nothing."""
    precision = (scale**-2.0).sum(0) + (with_prior or not len(scale))
    return (scale**-2.0 * mean).sum(0) / precision, precision**-0.5


@pytest.mark.parametrize("with_prior", [False, True])
def test_a_product_is_that_of_the_experts_that_a_row_has(with_prior):
    multiply = functools.partial(product, with_prior=with_prior)
    found = jax.jit(multiply)(experts())
    for row in range(8):
        has = PRESENT[:, row]
        truth = true_product(MEAN[has, row], SCALE[has, row], with_prior)
        np.testing.assert_allclose(found.mean[row], truth[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.scale[row], truth[1], rtol=1e-5)


def test_likelihoods_times_the_prior_are_the_exact_posterior():
    """Experts N with precision AᵀA/s² are p(x_m|z) as functions of z."""
    truth = linear_gaussian({"a": 4, "b": 6, "c": 5}, latent_size=3, diagonal=True)
    views = truth.sample(0, 5)[1]
    codes = {}
    for m, x in views.items():
        precision = np.diag(truth.precision([m])) - 1
        weighted = (x - truth.offsets[m]) @ truth.weights[m] / truth.noises[m] ** 2
        scale = np.broadcast_to(precision**-0.5, weighted.shape)
        codes[m] = GaussianCode(jnp.asarray(weighted / precision), jnp.asarray(scale))
    multiply = jax.jit(lambda given: product(stack(codes, given), with_prior=True))
    for subset in (("b",), ("a", "c"), ("a", "b", "c")):
        found = multiply({m: jnp.full(5, m in subset) for m in codes})
        mean, covariance = truth.posterior({m: views[m] for m in subset})
        np.testing.assert_allclose(found.mean, mean, rtol=1e-4, atol=1e-5)
        scale = np.broadcast_to(np.sqrt(np.diag(covariance)), mean.shape)
        np.testing.assert_allclose(found.scale, scale, rtol=1e-5)


def test_a_component_has_all_of_its_subset():
    subsets, with_prior = [(0,), (0, 2), (0, 1, 2)], [False, True, False]
    multiply = functools.partial(
        subset_products, subsets=subsets, with_prior=with_prior
    )
    found = jax.jit(multiply)(experts())
    for number, (subset, has_prior) in enumerate(zip(subsets, with_prior, strict=True)):
        members = np.array(subset)
        has = PRESENT[members].all(0)
        np.testing.assert_array_equal(found.present[number], has)
        truth = true_product(MEAN[members][:, has], SCALE[members][:, has], has_prior)
        np.testing.assert_allclose(found.mean[number][has], truth[0], rtol=1e-4)
        np.testing.assert_allclose(found.scale[number][has], truth[1], rtol=1e-5)


def test_the_density_of_a_mixture_is_the_mean_of_those_that_a_row_has():
    log_probs = RNG.standard_normal((3, 4, 8))  # four draws a row
    found = mixture_log_prob(jnp.asarray(log_probs), jnp.asarray(PRESENT))
    for row in range(7):
        each = np.exp(log_probs[PRESENT[:, row], :, row])
        np.testing.assert_allclose(found[:, row], np.log(each.mean(0)), rtol=1e-5)
    assert np.isfinite(found).all()  # of the row without any, too


def test_components_are_chosen_evenly_among_those_that_a_row_has():
    num = 6_000
    rows = jnp.repeat(jnp.asarray(PRESENT), num, axis=1)
    chosen = choose(jax.random.key(0), rows)
    counts = np.asarray(chosen).reshape(8, num)
    for row in range(7):
        has = PRESENT[:, row]
        share = np.bincount(counts[row], minlength=3) / num
        # A share has a standard error of at most 0.0065.
        np.testing.assert_allclose(share, has / has.sum(), atol=5 * 0.0065)
    values = jnp.arange(3.0)[:, None, None] * jnp.ones((3, 8 * num, 2))
    np.testing.assert_array_equal(take(values, chosen)[:, 1], chosen)


def test_divergences_are_those_of_normals():
    q, p = (Experts(MEAN[i], SCALE[i], PRESENT[i]) for i in (0, 1))
    ratio = (q.scale / p.scale) ** 2
    terms = ratio - 1 - np.log(ratio) + ((q.mean - p.mean) / p.scale) ** 2
    np.testing.assert_allclose(normal_kl(q, p), 0.5 * terms.sum(-1), rtol=1e-5)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
def everything_of(mean, scale, present):
    """A sum of all that losses make of experts, its parts, and its gradients."""
    own = experts_of([*map(GaussianCode, mean, scale)], present)
    joint = product(own)
    parts = subset_products(own, [(0,), (0, 1)], with_prior=[False, True])
    parts = [joint.mean, jnp.log(joint.scale), jnp.log(parts.scale), parts.mean]
    return sum(map(jnp.sum, parts)), parts


def test_scales_from_e_to_the_minus_30_to_the_30_are_safe():
    mean = jnp.array([[[1.0]], [[-2.0]]])
    for extremes in itertools.product([-30.0, 30.0], repeat=2):
        scale = jnp.exp(jnp.array(extremes)).reshape(2, 1, 1)
        (_, parts), gradients = everything_of(mean, scale, jnp.ones((2, 1), bool))
        equal = extremes[0] == extremes[1]
        narrowest = -0.5 if equal else mean[np.argmin(extremes)]
        np.testing.assert_allclose(parts[0], np.reshape(narrowest, (1, 1)), rtol=1e-5)
        expected = min(extremes) - 0.5 * np.log(2) * equal
        np.testing.assert_allclose(parts[1], [[expected]], rtol=1e-5)
        for leaf in jax.tree.leaves((parts, gradients)):
            assert np.isfinite(leaf).all()


def test_what_is_hidden_changes_no_value_and_no_gradient():
    present = jnp.asarray(PRESENT)
    inputs = [jnp.asarray(a, jnp.float32) for a in (MEAN, SCALE)]
    broken = [jnp.where(present[..., None], a, jnp.nan) for a in inputs]
    clean, dirty = (everything_of(*given, present) for given in (inputs, broken))
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)
    for gradient in np.asarray(clean[1]):
        assert not gradient[~PRESENT].any() and gradient[PRESENT].any()


def test_experts_and_masks_name_the_same_views():
    code = GaussianCode(jnp.ones((2, 1)), jnp.ones((2, 1)))
    with pytest.raises(ValueError, match=r"`present` names \['a'\], expected \['b'\]"):
        stack({"b": code}, {"a": jnp.ones(2, bool)})
