"""Cholesky factors and triangular systems of many small matrices, without LAPACK.

jaxlib's LAPACK kernels on CPUs wait for each other where several batches are worked on
at once, some of them for ever (`sampling/one_by_one.py`). These are D steps on the
whole batch instead, and may be differentiated, for matrices of a latent's size.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def cholesky(
    matrix: Float[Array, "*batch size size"],
) -> Float[Array, "*batch size size"]:
    """The lower triangular C with C Cᵀ = ``matrix``, positive definite.

    Its columns one after the other, each taken from what is left of the matrix::

        c_j = A_·j / √A_jj,    A ← A − c_j c_jᵀ

    >>> cholesky(jnp.array([[4.0, 2.0], [2.0, 10.0]])).tolist()
    [[2.0, 0.0], [1.0, 3.0]]
    """
    rows = jnp.arange(matrix.shape[-1])

    def eliminate(left, j):
        pivot = jax.lax.dynamic_index_in_dim(left, j, axis=-1, keepdims=False)
        root = jax.lax.dynamic_index_in_dim(pivot, j, axis=-1)
        # Rows above have been eliminated: they are zero but for rounding.
        column = jnp.where(rows >= j, pivot / jnp.sqrt(root), 0.0)
        return left - column[..., :, None] * column[..., None, :], column

    _, columns = jax.lax.scan(eliminate, matrix, rows)
    return jnp.moveaxis(columns, 0, -1)


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
    order = jnp.arange(root.shape[-1])
    shape = jnp.broadcast_shapes(root.shape[:-1], right.shape)

    # No sum over what is known: y − Σ_k r_k x_k of r that has fewer axes than x is
    # wrong beyond 32,768 of them (jaxlib 0.10.2 on CPUs, sums that it fuses).
    def eliminate(left, j):
        column = jax.lax.dynamic_index_in_dim(
            root, j, axis=-2 if transposed else -1, keepdims=False
        )
        left_j, pivot = (
            jax.lax.dynamic_index_in_dim(a, j, axis=-1, keepdims=False)
            for a in (left, column)
        )
        found = left_j / pivot
        return left - column * found[..., None], found

    steps = order[::-1] if transposed else order
    _, found = jax.lax.scan(eliminate, jnp.broadcast_to(right, shape), steps)
    return jnp.moveaxis(found[::-1] if transposed else found, 0, -1)
