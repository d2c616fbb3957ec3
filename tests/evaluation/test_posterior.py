"""The held-out log q_m(z|x_m) against its closed form for Gaussians."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.evaluation.posterior import mean_unimodal_log_prob, posterior_gap
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.subject import HeldOut, Subject

MEAN, SCALE = np.array([0.5, -1.0]), np.array([0.4, 0.8])
EXPERTS = {"a": (0.0, 1.0), "b": (0.3, 2.0)}


class Gaussians:
    """q(z|X) = N(MEAN, SCALE²) and q_m = N(shift, width²), whatever the views."""

    modalities = ("a", "b")
    prior_names = ("normal",)

    def infer(self, params, rng_key, views, subset, step_size=None):
        assert subset == ("a", "b")
        posterior = distrax.MultivariateNormalDiag(jnp.array(MEAN), jnp.array(SCALE))
        return posterior.sample(seed=rng_key, sample_shape=len(views["a"])), None

    def joint_log_prob(self, params, views, z):
        return distrax.MultivariateNormalDiag(MEAN, SCALE).log_prob(z)

    def unimodal_log_probs(self, params, views, z):
        return {
            m: distrax.MultivariateNormalDiag(
                jnp.full(2, shift), jnp.full(2, width)
            ).log_prob(z)
            for m, (shift, width) in EXPERTS.items()
        }

    def adapt(self, params, rng_key, views, subset):
        return None

    def diagnose(self, params, rng_key, views, subset, step_size):
        return None

    def decode(self, params, z):
        return {}

    def prior_of(self, params, name):
        raise NotImplementedError("what is measured here asks for no density")

    def sample_prior(self, params, rng_key, num_samples, name=None):
        return jax.random.normal(rng_key, (num_samples, 2))


def test_mean_log_prob_is_the_cross_entropy():
    def fetch(arrays, indices):
        return {m: arrays[indices] for m in EXPERTS}

    held_out = HeldOut(jnp.zeros((4_990, 1)), fetch, 4_990)
    settings = ProtocolSettings(batch_size=500)
    subject = Subject(Gaussians(), {}, None, held_out, None, settings)
    gaps, errors = posterior_gap(subject)
    for m, (shift, width) in EXPERTS.items():
        ratio = (SCALE / width) ** 2
        kl = 0.5 * np.sum(ratio + ((MEAN - shift) / width) ** 2 - 1 - np.log(ratio))
        assert abs(gaps[m] - kl) < 5 * errors[m] < 0.2
    got = mean_unimodal_log_prob(subject)
    for m, (shift, width) in EXPERTS.items():
        squares = (SCALE**2 + (MEAN - shift) ** 2) / width**2
        expected = -0.5 * np.sum(np.log(2 * np.pi * width**2) + squares)
        # The sd of one draw's log q_m is below 1 nat; 5 standard errors of 4,990.
        assert abs(got[m] - expected) < 5 / np.sqrt(4_990)
