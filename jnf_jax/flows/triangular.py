"""Cholesky factors and triangular systems of many small matrices, without LAPACK.

jaxlib's LAPACK kernels on CPUs wait for each other where several batches are worked on
at once, some of them for ever (`sampling/one_by_one.py`). These are D steps on the
whole batch instead, and may be differentiated, for matrices of a latent's size.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def cholesky(
    matrix: Float[Array, "*batch size size"],
) -> Float[Array, "*batch size size"]:
    """The lower triangular C with C Cᵀ = ``matrix``, positive definite.

    Its columns one after the other, each what those before leave of the matrix's::

        r_j = A_·j − Σ_{k<j} c_k C_jk,    c_j = r_j / √r_jj,  zero above the diagonal

    >>> cholesky(jnp.array([[4.0, 2.0], [2.0, 10.0]])).tolist()
    [[2.0, 0.0], [1.0, 3.0]]
    """
    rows = jnp.arange(matrix.shape[-1])

    def column(root, j):
        asked = jax.lax.dynamic_index_in_dim(matrix, j, axis=-1, keepdims=False)
        known = jax.lax.dynamic_index_in_dim(root, j, axis=-2, keepdims=False)
        left = asked - jnp.einsum("...ik,...k->...i", root, known)
        pivot = jax.lax.dynamic_index_in_dim(left, j, axis=-1)
        found = jnp.where(rows >= j, left / jnp.sqrt(pivot), 0.0)
        return jax.lax.dynamic_update_index_in_dim(root, found, j, axis=-1), None

    root, _ = jax.lax.scan(column, jnp.zeros_like(matrix), rows)
    return root


@cholesky.defjvp
def _(primals, tangents):
    """dC = C Φ(C⁻¹ dA C⁻ᵀ), Φ(X) the lower triangle of X with half its diagonal."""
    root, (change,) = cholesky(*primals), tangents
    eye = jnp.eye(root.shape[-1], dtype=root.dtype)
    inverse = jnp.swapaxes(solve_lower(root[..., None, :, :], eye), -1, -2)
    both = inverse @ change @ jnp.swapaxes(inverse, -1, -2)
    return root, root @ (jnp.tril(both, -1) + 0.5 * eye * both)


def solve_lower(
    root: Float[Array, "*#batch size size"],
    right: Float[Array, "*#batch size"],
    transposed: bool = False,
) -> Float[Array, "*_ size"]:
    """x with C x = ``right``, or Cᵀ x = ``right`` where ``transposed``, C lower.

    Column by column, each taken from what is left of the right-hand side::

        x_j = b_j / C_jj,    b ← b − C_·j x_j

    >>> root = jnp.array([[2.0, 0.0], [1.0, 3.0]])
    >>> solve_lower(root, jnp.array([2.0, 7.0])).tolist()
    [1.0, 2.0]
    >>> solve_lower(root, jnp.array([4.0, 6.0]), transposed=True).tolist()
    [1.0, 2.0]
    """
    shape = jnp.broadcast_shapes(root.shape[:-1], right.shape)
    product = f"...{'ji' if transposed else 'ij'},...j->...i"
    return jax.lax.custom_linear_solve(
        lambda x: jnp.einsum(product, root, x),
        jnp.broadcast_to(right, shape),
        lambda _, b: _substitute(root, b, transposed),
        lambda _, b: _substitute(root, b, not transposed),
    )


def _substitute(root: jax.Array, right: jax.Array, transposed: bool) -> jax.Array:
    order = jnp.arange(root.shape[-1])
    # In front, where each step reads one whole.
    columns = jnp.moveaxis(root, -2 if transposed else -1, 0)

    # No sum over what is known: y − Σ_k r_k x_k of r that has fewer axes than x is
    # wrong beyond 32,768 of them (jaxlib 0.10.2 on CPUs, sums that it fuses).
    def eliminate(left, step):
        j, column = step
        left_j, pivot = (
            jax.lax.dynamic_index_in_dim(a, j, axis=-1, keepdims=False)
            for a in (left, column)
        )
        found = left_j / pivot
        return left - column * found[..., None], found

    _, found = jax.lax.scan(eliminate, right, (order, columns), reverse=transposed)
    return jnp.moveaxis(found, 0, -1)
