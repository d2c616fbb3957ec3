"""The tuples that a model is measured on, batch by batch."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax.runtime import parallel
from jnf_jax.types import Views


class HeldOut(NamedTuple):
    """The tuples that a model is evaluated on.

    ``fetch(arrays, rows(indices)) -> views``, where ``rows`` reads on the host what is
    not in ``arrays``. With a ``mesh``, a batch is split over its devices: encoders,
    chains, decoders and classifiers then run where their data are. ``labels`` i32[size]
    and ``num_classes`` are None where the data set has none.
    """

    arrays: Any
    fetch: Callable[[Any, Any], Views]
    size: int
    labels: np.ndarray | None = None
    num_classes: int | None = None
    rows: Callable[[np.ndarray], Any] = lambda indices: indices
    mesh: jax.sharding.Mesh | None = None

    def views(self, indices: np.ndarray) -> Views:
        """{m: f32[B, ...]} of the tuples i32[B]."""
        rows = parallel.put_batch(self.rows(indices), self.mesh)
        return _fetch(self.fetch, self.mesh, self.arrays, rows)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _fetch(fetch, mesh, arrays, rows) -> Views:
    return parallel.constrain_batch(fetch(arrays, rows), mesh)
