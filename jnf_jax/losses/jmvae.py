"""JMVAE's coupling of joint and unimodal encoders (arXiv 1611.01891)."""

from collections.abc import Mapping

import distrax
from jaxtyping import Array, Float


def unimodal_kl(
    joint: distrax.MultivariateNormalDiag,
    unimodal: Mapping[str, distrax.MultivariateNormalDiag],
) -> dict[str, Float[Array, " batch"]]:
    """KL(q(z|X) ‖ q_m(z|x_m)) for each modality, in closed form; nats.

    JMVAE maximises ``joint_elbo`` − α Σ_m of these, with gradients through both sides;
    JNF's stage two minimises the same divergences with the joint side frozen.

    All distributions have batch [B] and event [D].
    """
    return {m: joint.kl_divergence(unimodal[m]) for m in sorted(unimodal)}
