"""The subject of an evaluation: a trained model and its data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation.classifiers import Classifiers
from jnf_jax.evaluation.held_out import HeldOut
from jnf_jax.evaluation.protocol import Draws, ProtocolSettings
from jnf_jax.methods.method import Inference, PictureDecoder
from jnf_jax.runtime.batching import map_batches
from jnf_jax.types import Params, Views


class Subject(NamedTuple):
    """A trained model and what it is measured on.

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

    def first_views(self, num: int | None = None) -> Views:
        """The first batch of ``over_tuples(…, num)``, to which samplers adapt."""
        size = min(self.protocol.batch_size, self.num_tuples if num is None else num)
        return self.held_out.views(np.arange(size, dtype=np.int32))

    def over_tuples(
        self, look: Callable[[int, Views], Any], num: int | None = None
    ) -> Any:
        """``look(number of the batch, views)`` of the first ``num`` tuples, batch by
        batch, joined on the host; None: of all that the protocol evaluates."""
        return map_batches(
            lambda number, rows: look(number, self.held_out.views(rows)),
            self.num_tuples if num is None else num,
            self.protocol.batch_size,
        )
