"""Factors and systems of small matrices, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.flows.triangular import cholesky, solve_lower


def matrices(batch, size, seed=0):
    a = np.random.default_rng(seed).standard_normal((*batch, size, size))
    return (a @ a.swapaxes(-1, -2) + np.eye(size)).astype(np.float32)


@pytest.mark.parametrize(("batch", "size"), [((), 1), ((3,), 2), ((2, 5), 16)])
def test_they_are_numpys(batch, size):
    a = matrices(batch, size)
    root = jax.jit(cholesky)(jnp.asarray(a))
    np.testing.assert_allclose(root, np.linalg.cholesky(a), rtol=2e-4, atol=2e-5)
    x = np.random.default_rng(1).standard_normal((*batch, size)).astype(np.float32)
    for transposed in (False, True):
        matrix = np.asarray(root).swapaxes(-1, -2) if transposed else np.asarray(root)
        right = (matrix @ x[..., None])[..., 0]
        found = jax.jit(solve_lower, static_argnums=2)(root, right, transposed)
        np.testing.assert_allclose(found, x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("num", [7, 10_000])
def test_one_root_serves_many_right_sides(num):
    """A sum over what is solved would be wrong of more than 32,768, see there."""
    root = np.linalg.cholesky(matrices((4,), 3))
    x = np.random.default_rng(1).standard_normal((num, 4, 3)).astype(np.float32)
    for transposed, product in ((False, "bij,sbj->sbi"), (True, "bji,sbj->sbi")):
        right = np.einsum(product, root, x)
        found = jax.jit(solve_lower, static_argnums=2)(root, right, transposed)
        np.testing.assert_allclose(found, x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("num", [7, 10_000])
def test_one_root_gathers_the_gradients_of_many_right_sides(num):
    """Of Σ w x, with C x = b: C⁻ᵀ w for b, and −Σ (C⁻ᵀ w) xᵀ for C, summed exactly."""
    root = np.linalg.cholesky(matrices((4,), 3))
    x, w = np.random.default_rng(1).standard_normal((2, num, 4, 3)).astype(np.float32)
    right = np.einsum("bij,sbj->sbi", root, x)

    def weighted(root, right):
        return jnp.sum(w * solve_lower(root, right))

    of_root, of_right = jax.jit(jax.grad(weighted, (0, 1)))(root, right)
    expected = np.einsum("bji,sbj->sbi", np.linalg.inv(root), w)
    np.testing.assert_allclose(of_right, expected, rtol=1e-3, atol=1e-4)
    summed = -np.einsum("sbi,sbj->bij", expected, x, dtype=np.float64)
    np.testing.assert_allclose(of_root, summed, rtol=1e-3, atol=1e-3 * num**0.5)


def test_gradients_are_those_of_jax():
    a, b = jnp.asarray(matrices((), 4)), jnp.arange(1.0, 5.0)

    def ours(a):
        return jnp.sum(solve_lower(cholesky(a), b, True) ** 2) + cholesky(a)[2, 1]

    def theirs(a):
        root = jnp.linalg.cholesky(a, symmetrize_input=False)
        x = jax.scipy.linalg.solve_triangular(root, b, lower=True, trans=1)
        return jnp.sum(x**2) + root[2, 1]

    found, expected = jax.grad(ours)(a), jax.grad(theirs)(a)
    # Which half of a symmetric matrix is read differs, and the sum of both does not.
    np.testing.assert_allclose(found + found.T, expected + expected.T, rtol=1e-3)


def test_no_kernel_waits_for_another():
    """Neither they nor their gradients call LAPACK."""

    def both(a, b):
        return jnp.sum(solve_lower(cholesky(a), b, True) ** 2)

    shapes = jax.ShapeDtypeStruct((8, 4, 4), "f4"), jax.ShapeDtypeStruct((8, 4), "f4")
    compiled = jax.jit(jax.grad(both)).lower(*shapes).compile().as_text()
    assert "custom-call" not in compiled
