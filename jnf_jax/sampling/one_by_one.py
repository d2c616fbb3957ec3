"""Factorisations of many small matrices that cannot wait for each other.

jaxlib's LAPACK kernels on CPUs split a batch of matrices over XLA's pool of threads,
and wait within that pool until all parts are done. Where as many such calls run at once
as the pool has threads, all of them wait for ever: two triangular solves of 256
matrices 16 × 16 are enough on two cores (jaxlib 0.10.2). A single matrix is not split.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax


def one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` of one datum, for ``vmap``: on CPUs datum after datum, no batches.

    On other devices it is ``function``. Only arrays are arguments, and nothing is
    differentiated.

    >>> import jax.numpy as jnp
    >>> jax.vmap(one_by_one(jnp.linalg.inv))(jnp.stack([jnp.eye(2)] * 3)).shape
    (3, 2, 2)
    """
    in_turn = jax.custom_batching.sequential_vmap(function)

    @functools.wraps(function)
    def chosen(*arrays: Any) -> Any:
        is_cpu = jax.default_backend() == "cpu"
        return (in_turn if is_cpu else function)(*arrays)

    return chosen
