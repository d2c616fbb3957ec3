"""Stage two's loss against closed forms of Gaussian families."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.losses import UnimodalModel, unimodal_kl, unimodal_nll

RNG = np.random.default_rng(0)
JOINT = {
    "mean": jnp.asarray(RNG.standard_normal((5, 3)), jnp.float32),
    "scale": jnp.asarray(RNG.uniform(0.3, 0.8, (5, 3)), jnp.float32),
}
EXPERTS = {
    m: {
        "mean": jnp.asarray(RNG.standard_normal((5, 3)), jnp.float32),
        "scale": jnp.asarray(RNG.uniform(0.8, 1.5, (5, 3)), jnp.float32),
    }
    for m in ("a", "b")
}


def joint_posterior(frozen, batch):
    del batch
    return distrax.MultivariateNormalDiag(frozen["mean"], frozen["scale"])


def posteriors(params, batch):
    del batch
    return {
        m: distrax.MultivariateNormalDiag(p["mean"], p["scale"])
        for m, p in params.items()
    }


MODEL = UnimodalModel(joint_posterior, posteriors)


def test_mean_is_the_divergences_plus_m_entropies():
    """E loss = Σ_m KL(q ‖ q_m) + M·H(q), which is also JMVAE's term plus a constant."""

    @jax.jit
    def ask(key):
        terms = unimodal_nll(EXPERTS, JOINT, key, {}, model=MODEL, num_samples=20_000)
        joint = joint_posterior(JOINT, {})
        kl = unimodal_kl(joint, posteriors(EXPERTS, {}))
        return terms, sum(kl.values()) + 2 * joint.entropy()

    terms, expected = jax.device_get(ask(jax.random.key(0)))
    # The sd of one draw's loss is below 4 nats, so the standard error below 0.03.
    np.testing.assert_allclose(terms.loss, expected, atol=0.15)
    assert terms.loss.shape == (5,)
    np.testing.assert_allclose(terms.loss, terms.nll["a"] + terms.nll["b"], rtol=1e-6)


def test_no_gradient_reaches_the_frozen_side():
    def loss(frozen):
        return unimodal_nll(
            EXPERTS, frozen, jax.random.key(0), {}, model=MODEL
        ).loss.sum()

    gradient = jax.device_get(jax.jit(jax.grad(loss))(JOINT))
    assert all((g == 0).all() for g in jax.tree.leaves(gradient))


def test_optimum_of_a_gaussian_expert_is_moment_matching():
    """The minimiser over one shared Gaussian: mean and variance of the pooled draws."""

    def loss(params):
        broadcast = {
            "a": {
                "mean": jnp.broadcast_to(params["mean"], (5, 3)),
                "scale": jnp.broadcast_to(jnp.exp(params["log_scale"]), (5, 3)),
            }
        }
        return unimodal_nll(
            broadcast, JOINT, jax.random.key(1), {}, model=MODEL, num_samples=500
        ).loss.mean()

    @jax.jit
    def gradient_at_the_moments(key):
        draws = joint_posterior(JOINT, {}).sample(seed=key, sample_shape=500)
        mean, sd = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))
        return jax.grad(loss)({"mean": mean, "log_scale": jnp.log(sd)})

    gradient = jax.device_get(gradient_at_the_moments(jax.random.key(1)))
    assert all(np.abs(g).max() < 1e-4 for g in jax.tree.leaves(gradient))


def test_no_sample_is_refused():
    with pytest.raises(ValueError, match="num_samples.*at least 1, got 0"):
        unimodal_nll(EXPERTS, JOINT, jax.random.key(0), {}, model=MODEL, num_samples=0)
