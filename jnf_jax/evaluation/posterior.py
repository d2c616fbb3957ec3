"""Do the unimodal posteriors match the joint one? Measured on held-out tuples."""

import functools

import jax
import numpy as np
from jaxtyping import Float

from jnf_jax.evaluation.held_out import HeldOut
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.methods.method import Inference
from jnf_jax.runtime.batching import map_batches
from jnf_jax.types import Params, Views


def posterior_log_probs(
    inference: Inference,
    params: dict[str, Params],
    held_out: HeldOut,
    settings: ProtocolSettings,
) -> tuple[Float[np.ndarray, " data"], dict[str, Float[np.ndarray, " data"]]]:
    """log q(z|X) and {m: log q_m(z|x_m)} at one z ~ q(z|X) a tuple; nats.

    Args:
        inference: Of the method.
        params: Its parameters by stage.
        held_out: Tuples; labels are not read.
        settings: ``num_tuples``, ``batch_size`` and ``seed``.

    Returns:
        f32[N], and the same of each modality.
    """
    num_tuples = settings.num_tuples or held_out.size
    rng_key = jax.random.key(settings.seed)

    def one_batch(number: int, indices: np.ndarray):
        views = held_out.views(indices)
        key = jax.random.fold_in(rng_key, number)
        return _log_probs(inference, params, views, key)

    return map_batches(one_batch, num_tuples, settings.batch_size)


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
    _, found = posterior_log_probs(inference, params, held_out, settings)
    return {m: float(found[m].mean(dtype=np.float64)) for m in inference.modalities}


def posterior_gap(
    inference: Inference,
    params: dict[str, Params],
    held_out: HeldOut,
    settings: ProtocolSettings,
) -> tuple[dict[str, float], dict[str, float]]:
    """How far each unimodal posterior is from the joint one.

    ::

        E_X E_{z ~ q(z|X)} [log q(z|X) − log q_m(z|x_m)]  =  E_X KL(q(z|X) ‖ q_m(z|x_m))
                                                        >=  I(z; x_{−m} | x_m)

    (nats, one draw of z a tuple). What the other modalities say of z is its floor: even
    the best q_m(z|x_m), E[q(z|X)|x_m], does not bring it to zero.

    Args:
        inference: Of the method.
        params: Its parameters by stage.
        held_out: Tuples; labels are not read.
        settings: ``num_tuples``, ``batch_size`` and ``seed``.

    Returns:
        {modality: mean over tuples}, and its standard error.
    """
    joint, found = posterior_log_probs(inference, params, held_out, settings)
    gaps = {m: joint.astype(np.float64) - found[m] for m in inference.modalities}
    return (
        {m: float(gap.mean()) for m, gap in gaps.items()},
        {m: float(gap.std(ddof=1) / len(gap) ** 0.5) for m, gap in gaps.items()},
    )


@functools.partial(jax.jit, static_argnums=0)
def _log_probs(inference, params: dict[str, Params], views: Views, rng_key: jax.Array):
    z, _ = inference.infer(params, rng_key, views, tuple(inference.modalities))
    return (
        inference.joint_log_prob(params, views, z),
        inference.unimodal_log_probs(params, views, z),
    )
