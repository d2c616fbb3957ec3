"""Do the unimodal posteriors match the joint one? Measured on held-out tuples."""

import functools

import jax
import numpy as np
from jaxtyping import Float

from jnf_jax.evaluation.subject import Subject
from jnf_jax.methods.method import SubsetDensity
from jnf_jax.names import join_names
from jnf_jax.types import Params, Views


def posterior_log_probs(
    subject: Subject,
) -> tuple[Float[np.ndarray, " data"], dict[str, Float[np.ndarray, " data"]]]:
    """log q(z|X) and {m: log q_m(z|x_m)} at one z ~ q(z|X) a tuple; nats, f32[N]."""
    rng_key = jax.random.key(subject.protocol.seed)

    def look(number: int, views: Views) -> tuple[jax.Array, dict[str, jax.Array]]:
        key = jax.random.fold_in(rng_key, number)
        return _log_probs(subject.inference, subject.params, views, key)

    return subject.over_tuples(look)


def mean_unimodal_log_prob(subject: Subject) -> dict[str, float]:
    """Held-out cross-entropy of each modality, its sign turned: higher is better.

    ::

        E_X E_{z ~ q(z|X)} log q_m(z|x_m)       (nats, one draw of z a tuple)

    It compares families of posteriors under ONE joint encoder; under two of them the
    same number means different things.
    """
    _, found = posterior_log_probs(subject)
    return {
        m: float(found[m].mean(dtype=np.float64)) for m in subject.inference.modalities
    }


def posterior_gap(subject: Subject) -> tuple[dict[str, float], dict[str, float]]:
    """How far each unimodal posterior is from the joint one, and its standard error.

    ::

        E_X E_{z ~ q(z|X)} [log q(z|X) − log q_m(z|x_m)]  =  E_X KL(q(z|X) ‖ q_m(z|x_m))
                                                        >=  I(z; x_{−m} | x_m)

    (nats, one draw of z a tuple). Its floor is the information that the other
    modalities add about z: even the best q_m(z|x_m), E[q(z|X)|x_m], does not bring it
    to zero.
    """
    joint, found = posterior_log_probs(subject)
    gaps = {
        m: joint.astype(np.float64) - found[m] for m in subject.inference.modalities
    }
    return (
        {m: float(gap.mean()) for m, gap in gaps.items()},
        {m: float(gap.std(ddof=1) / len(gap) ** 0.5) for m, gap in gaps.items()},
    )


def mean_subset_log_prob(subject: Subject) -> dict[str, float]:
    """Held-out log q(z|x_S) of every S but all that has a density; {} if none has.

    ::

        E_X E_{z ~ q(z|X)} log q(z|x_S)       (nats, one draw of z a tuple)

    Like ``mean_unimodal_log_prob`` it compares posteriors under ONE joint encoder. At
    the optimum it rises with S.

    Returns:
        {names joined by plus signs, "" of none: mean over tuples}.
    """
    inference, names = subject.inference, subject.inference.modalities
    if not isinstance(inference, SubsetDensity):
        return {}
    rng_key = jax.random.key(subject.protocol.seed)
    subsets = [(), *subject.subsets]

    def look(number: int, views: Views) -> dict[str, jax.Array]:
        key = jax.random.fold_in(rng_key, number)
        z, _ = inference.infer(subject.params, key, views, names)
        return {
            join_names(s): inference.subset_log_prob(subject.params, views, s, z)
            for s in subsets
        }

    found = subject.over_tuples(look)
    return {
        name: float(x.mean(dtype=np.float64))
        for name, x in found.items()
        if x is not None
    }


@functools.partial(jax.jit, static_argnums=0)
def _log_probs(inference, params: dict[str, Params], views: Views, rng_key: jax.Array):
    z, _ = inference.infer(params, rng_key, views, tuple(inference.modalities))
    return (
        inference.joint_log_prob(params, views, z),
        inference.unimodal_log_probs(params, views, z),
    )
