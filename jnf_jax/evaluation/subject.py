"""The subject of an evaluation: a trained model, and the tuples it is measured on."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation.classifiers import Classifiers
from jnf_jax.evaluation.protocol import Draws, ProtocolSettings, asked_subsets
from jnf_jax.methods.method import Inference, PictureDecoder
from jnf_jax.runtime import parallel
from jnf_jax.runtime.batching import map_batches
from jnf_jax.types import Params, Views


class HeldOut(NamedTuple):
    """The tuples that a model is evaluated on.

    ``fetch(arrays, rows(indices)) -> views``, where ``rows`` reads on the host what is
    not in ``arrays``. With a ``mesh``, a batch is split over its devices: encoders,
    chains, decoders and classifiers then run where their data are. ``labels`` i32[size]
    and ``num_classes`` are None where the data set has none; ``unlabelled`` modalities
    tell nothing of them.
    """

    arrays: Any
    fetch: Callable[[Any, Any], Views]
    size: int
    labels: np.ndarray | None = None
    num_classes: int | None = None
    rows: Callable[[np.ndarray], Any] = lambda indices: indices
    mesh: jax.sharding.Mesh | None = None
    unlabelled: tuple[str, ...] = ()

    def views(self, indices: np.ndarray) -> Views:
        """{m: f32[B, ...]} of the tuples i32[B]."""
        rows = parallel.put_batch(self.rows(indices), self.mesh)
        return _fetch(self.fetch, self.mesh, self.arrays, rows)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _fetch(fetch, mesh, arrays, rows) -> Views:
    return parallel.constrain_batch(fetch(arrays, rows), mesh)


class Subject(NamedTuple):
    """A trained model and the data that it is measured on.

    Attributes:
        inference: Of the method.
        params: Its parameters by stage, whole on each device.
        dataset: All splits, for measures that fit something.
        held_out: The test tuples.
        classifiers: None where the data set has no labels.
        protocol: Number of tuples, batch size, seed.
        draws: The latents of protocol v1, where it has run.
        report: Called with lines to show.
        decoder: Draws pictures given z; None in a method without one.
    """

    inference: Inference
    params: dict[str, Params]
    dataset: Dataset
    held_out: HeldOut
    classifiers: Classifiers | None
    protocol: ProtocolSettings
    draws: Draws | None = None
    report: Callable[[str], None] = lambda line: None
    decoder: PictureDecoder | None = None

    @property
    def num_tuples(self) -> int:
        """Test tuples that the protocol evaluates."""
        return self.protocol.num_tuples or self.held_out.size

    @property
    def subsets(self) -> list[tuple[str, ...]]:
        """The subsets that the protocol asks for, of one modality up to all but one."""
        return asked_subsets(self.protocol, self.inference.modalities)

    @property
    def judged(self) -> list[tuple[str, ...]]:
        """Those of ``subsets`` that tell of the label, and leave out what shows it."""
        telling = set(self.inference.modalities) - set(self.held_out.unlabelled)
        return [s for s in self.subsets if telling & set(s) and telling - set(s)]

    def first_views(self, num: int | None = None) -> Views:
        """The first batch of ``over_tuples(…, num)``, to which samplers adapt."""
        size = min(self.protocol.batch_size, self.num_tuples if num is None else num)
        return self.held_out.views(np.arange(size, dtype=np.int32))

    def over_tuples(
        self, look: Callable[[int, Views], Any], num: int | None = None
    ) -> Any:
        """``look(number of the batch, views)`` of each batch, joined on the host.

        Batches are of the first ``num`` tuples, or of all that the protocol evaluates.
        """
        return map_batches(
            lambda number, rows: look(number, self.held_out.views(rows)),
            self.num_tuples if num is None else num,
            self.protocol.batch_size,
        )

    def infer(
        self, rng_key: jax.Array, subset: tuple[str, ...], num: int | None = None
    ) -> Any:
        """One z ~ q(z|x_S) for each of these tuples, on the host; leaves [N, ...]."""

        def look(number: int, views: Views) -> Any:
            key = jax.random.fold_in(rng_key, number)
            return self.inference.infer(self.params, key, views, subset)[0]

        return self.over_tuples(look, num)
