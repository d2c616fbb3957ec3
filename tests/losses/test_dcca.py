"""Canonical correlations: planted, in closed form, and against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnf_jax import losses

canonical_correlations = jax.jit(losses.canonical_correlations, static_argnames="ridge")
dcca = jax.jit(losses.dcca, static_argnames=("ridge", "num_correlations"))

PLANTED = np.array([0.9, 0.6, 0.3])
NUM_HELD_OUT = 200_000


def reference(a, b, ridge):
    """The same in float64, by symmetric whitening."""
    a, b = (np.asarray(h, np.float64) for h in (a, b))
    a, b = (h - h.mean(0) for h in (a, b))
    divisor = len(a) - 1

    def inverse_root(h):
        values, vectors = np.linalg.eigh(h.T @ h / divisor + ridge * np.eye(h.shape[1]))
        return vectors @ np.diag(values**-0.5) @ vectors.T

    whitened = inverse_root(a) @ (a.T @ b / divisor) @ inverse_root(b)
    return np.linalg.svd(whitened, compute_uv=False)


def correlated(seed, num=500, sizes=(4, 3)):
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((num, 3))
    return tuple(
        jnp.asarray(
            common @ rng.standard_normal((3, size)) + rng.standard_normal((num, size)),
            jnp.float32,
        )
        for size in sizes
    )


@pytest.mark.parametrize("ridge", [1e-6, 1e-3, 0.5])
def test_float32_agrees_with_symmetric_whitening_in_float64(ridge):
    a, b = correlated(0)
    # Scales four orders apart, and offsets: neither may cost digits.
    for x, y in ((a, b), (a * jnp.logspace(-2, 2, 4) + 3.0, b - 5.0)):
        found = canonical_correlations(x, y, ridge=ridge)
        np.testing.assert_allclose(found, reference(x, y, ridge), atol=2e-4)


def test_gradient_agrees_with_differences_in_float64():
    a, b = correlated(1, num=60)
    loss = lambda a: dcca({"a": a, "b": b}, ridge=1e-3, num_correlations=2)  # noqa: E731
    gradient = np.asarray(jax.jit(jax.grad(loss))(a))
    direction = np.random.default_rng(2).standard_normal(a.shape)
    ahead, behind = (
        -reference(np.asarray(a, np.float64) + step * direction, b, 1e-3)[:2].sum()
        for step in (1e-5, -1e-5)
    )
    np.testing.assert_allclose(
        np.sum(gradient * direction), (ahead - behind) / 2e-5, rtol=2e-3
    )


def test_linear_maps_do_not_matter_without_a_ridge():
    a, b = correlated(3)
    rng = np.random.default_rng(4)
    maps = [jnp.asarray(rng.standard_normal((n, n)), jnp.float32) for n in (4, 3)]
    mapped = canonical_correlations(a @ maps[0], b @ maps[1] + 1.0, ridge=0.0)
    np.testing.assert_allclose(
        mapped, canonical_correlations(a, b, ridge=0.0), atol=1e-4
    )


def test_ridge_shrinks_one_dimension_as_it_should():
    a, b = correlated(5, sizes=(1, 1))
    (plain,) = np.abs(np.corrcoef(a[:, 0], b[:, 0])[0, 1:])
    shrunk = plain
    for h in (a, b):
        variance = np.var(h, ddof=1)
        shrunk *= np.sqrt(variance / (variance + 0.7))
    np.testing.assert_allclose(
        canonical_correlations(a, b, ridge=0.7), [shrunk], rtol=1e-4
    )


def test_noise_correlates_in_small_batches():
    """Means over draws of independent embeddings, 64 rows of 16 dimensions."""
    draws = np.float32(np.random.default_rng(0).standard_normal((10, 2, 64, 16)))
    found = np.stack([canonical_correlations(*d, ridge=1e-3) for d in draws])
    # A draw's largest has a standard deviation of 0.03: s.e. 0.01.
    np.testing.assert_allclose(found.mean(), 0.43, atol=0.02)
    np.testing.assert_allclose(found[:, 0].mean(), 0.83, atol=0.03)


def test_all_pairs_are_summed():
    a, b = correlated(6, sizes=(3, 3))
    c = a + b
    views = {"a": a, "b": b, "c": c}
    pairs = [(a, b), (a, c), (b, c)]
    expected = -sum(canonical_correlations(*p, ridge=1e-3)[:2].sum() for p in pairs)
    found = dcca(views, ridge=1e-3, num_correlations=2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("case", ["equal", "collapsed", "orthogonal"])
def test_gradients_are_finite_for_repeated_singular_values(case):
    a, _ = correlated(7, num=64, sizes=(4, 4))
    a = np.asarray(a)
    white, _ = np.linalg.qr(np.concatenate([np.ones((64, 1), "f"), a, a**2], axis=1))
    views = {
        "equal": {"a": a, "b": a},  # every correlation is 1
        "collapsed": {"a": jnp.ones((64, 4)), "b": jnp.zeros((64, 4))},
        "orthogonal": {"a": white[:, 1:5], "b": white[:, 5:9]},  # every one is 0
    }[case]
    ask = lambda views: dcca(views, ridge=1e-3, num_correlations=4)  # noqa: E731
    value, gradients = jax.jit(jax.value_and_grad(ask))(views)
    expected = {"equal": -4.0, "collapsed": 0.0, "orthogonal": 0.0}[case]
    np.testing.assert_allclose(value, expected, atol=0.02)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def planted_views(seed, mixing, *size):
    """Two views of three latents each, correlated as PLANTED, mixed and noisy."""
    rng = np.random.default_rng(seed)
    latent_a, fresh, noise_a, noise_b = rng.standard_normal((4, *size, 3))
    latent_b = PLANTED * latent_a + np.sqrt(1 - PLANTED**2) * fresh
    return {
        m: np.float32(np.concatenate([latent, noise], -1) @ mixing[m])
        for m, latent, noise in (("a", latent_a, noise_a), ("b", latent_b, noise_b))
    }


def test_linear_projectors_find_planted_correlations():
    """Views of six dimensions, three of them noise of their own; data always fresh."""
    rng = np.random.default_rng(8)
    rotations = np.linalg.qr(rng.standard_normal((2, 6, 6)))[0]
    mixing = dict(zip("ab", rotations, strict=True))
    params = {m: jnp.asarray(rng.standard_normal((6, 3)), jnp.float32) for m in "ab"}
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 200))

    def embed(params, views):
        return {m: views[m] @ params[m] for m in views}

    @jax.jit
    def train(params, batches):
        def step(carry, views):
            params, state = carry
            gradient = jax.grad(
                lambda p: dcca(embed(p, views), ridge=1e-6, num_correlations=3)
            )(params)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), batches)[0][0]

    @jax.jit
    def correlations(params, views):
        return canonical_correlations(*embed(params, views).values(), ridge=1e-6)

    trained = train(params, planted_views(0, mixing, 200, 2_000))
    found = correlations(trained, planted_views(1, mixing, NUM_HELD_OUT))
    # (1 − ρ²)/√n is at most 0.002.
    np.testing.assert_allclose(found, PLANTED, atol=0.01)


def test_faults():
    a, b = correlated(9, num=8, sizes=(4, 4))
    with pytest.raises(ValueError, match="have 8 rows, expected more than 8"):
        canonical_correlations(a, b, ridge=1e-3)
    with pytest.raises(ValueError, match="have 8 and 7 rows"):
        canonical_correlations(a, b[:7], ridge=1e-3)
    a, b = correlated(9, num=20)
    for bad in (0, 4):
        with pytest.raises(ValueError, match=f"`num_correlations` is {bad}, expected"):
            dcca({"a": a, "b": b}, ridge=1e-3, num_correlations=bad)
    with pytest.raises(ValueError, match="two or more modalities"):
        dcca({"a": a}, ridge=1e-3, num_correlations=1)
    with pytest.raises(ValueError, match=r"`ridge` is -0.1, expected >= 0"):
        canonical_correlations(a, b, ridge=-0.1)
