"""Do the unimodal posteriors match the joint one? Measured on held-out tuples."""

import jax
import numpy as np

from jnf_jax.batching import map_batches
from jnf_jax.methods.method import Inference
from jnf_jax.metrics.protocol import HeldOut, ProtocolSettings
from jnf_jax.types import Params, Views


def mean_unimodal_log_prob(
    inference: Inference,
    params: dict[str, Params],
    held_out: HeldOut,
    settings: ProtocolSettings,
) -> dict[str, float]:
    """Held-out cross-entropy, with its sign turned: higher is better.

    ::

        E_X E_{z ~ q(z|X)} log q_m(z|x_m)       (nats, one draw of z a tuple)

    It compares families of posteriors under ONE joint encoder; under two of them the
    same number means different things.

    Args:
        inference: Of the method.
        params: Its parameters by stage.
        held_out: Tuples; labels are not read.
        settings: ``num_tuples``, ``batch_size`` and ``seed``.

    Returns:
        {modality: mean over tuples}.
    """

    @jax.jit
    def log_probs(params: dict[str, Params], views: Views, rng_key: jax.Array):
        z, _ = inference.infer(params, rng_key, views, tuple(inference.modalities))
        return inference.unimodal_log_probs(params, views, z)

    num_tuples = settings.num_tuples or held_out.size
    rng_key = jax.random.key(settings.seed)

    def one_batch(number: int, indices: np.ndarray):
        views = held_out.views(indices)
        return log_probs(params, views, jax.random.fold_in(rng_key, number))

    found = map_batches(one_batch, num_tuples, settings.batch_size)
    return {m: float(found[m].mean(dtype=np.float64)) for m in inference.modalities}
