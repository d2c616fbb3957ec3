"""The loss of the posterior of every subset, and the subsets that it is trained on."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.losses import (
    SubsetModel,
    UnimodalModel,
    proper_subsets,
    subset_nll,
    unimodal_nll,
)

RNG = np.random.default_rng(0)
JOINT = {
    "mean": jnp.asarray(RNG.standard_normal((5, 3)), jnp.float32),
    "scale": jnp.asarray(RNG.uniform(0.3, 0.8, (5, 3)), jnp.float32),
}
VIEWS = {m: jnp.asarray(RNG.standard_normal((5, 3)), jnp.float32) for m in "ab"}
PARAMS = {"a": jnp.float32(0.7), "b": jnp.float32(-0.4), "scale": jnp.float32(1.2)}


def joint_posterior(frozen, batch):
    del batch
    return distrax.MultivariateNormalDiag(frozen["mean"], frozen["scale"])


def posterior(params, batch, given):
    """N(Σ_{m∈S} w_m x_m, s²): enough to tell one subset from another."""
    mean = sum(params[m] * x * given[m][:, None] for m, x in batch.items())
    return distrax.MultivariateNormalDiag(mean, params["scale"] * jnp.ones_like(mean))


MODEL = SubsetModel(joint_posterior, posterior)


def only(name, size=5):
    return {m: jnp.full(size, m == name) for m in VIEWS}


def test_given_one_view_it_is_the_unimodal_term():
    """Same z, same conditional density: the paper's stage two is the case |S| = 1."""
    unimodal = UnimodalModel(
        joint_posterior,
        lambda params, batch: {m: posterior(params, batch, only(m)) for m in batch},
    )
    key = jax.random.key(1)
    options = {"num_samples": 3}
    terms = unimodal_nll(PARAMS, JOINT, key, VIEWS, model=unimodal, **options)
    for m in VIEWS:
        found = subset_nll(PARAMS, JOINT, key, VIEWS, only(m), model=MODEL, **options)
        np.testing.assert_allclose(found, terms.nll[m], rtol=1e-6)


def test_mean_is_the_divergence_plus_the_entropy():
    given = {"a": jnp.arange(5) % 2 == 0, "b": jnp.arange(5) > 2}
    found = subset_nll(
        PARAMS, JOINT, jax.random.key(0), VIEWS, given, model=MODEL, num_samples=20_000
    )
    joint = joint_posterior(JOINT, VIEWS)
    expected = joint.kl_divergence(posterior(PARAMS, VIEWS, given)) + joint.entropy()
    # The sd of one draw's loss is below 4 nats, so the standard error below 0.03.
    np.testing.assert_allclose(found, expected, atol=0.15)


def test_no_gradient_reaches_the_frozen_side():
    def loss(params, frozen):
        key = jax.random.key(0)
        return subset_nll(params, frozen, key, VIEWS, only("a"), model=MODEL).sum()

    own, frozen = jax.grad(loss, argnums=(0, 1))(PARAMS, JOINT)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(frozen))
    assert own["a"] != 0 and own["b"] == 0  # b is not given


def test_less_than_one_draw_is_refused():
    with pytest.raises(ValueError, match="`num_samples` is 0, expected >= 1"):
        subset_nll(
            PARAMS, JOINT, jax.random.key(0), VIEWS, only("a"), model=MODEL,
            num_samples=0,
        )  # fmt: skip


@pytest.mark.parametrize("present", ["abc", "ac", "b"])
def test_sizes_are_uniform_and_subsets_uniform_within_a_size(present):
    num = 60_000
    has = {m: jnp.full(num, m in present) for m in "abc"}
    given = jax.jit(proper_subsets)(jax.random.key(0), has)
    drawn = np.stack([np.asarray(given[m]) for m in "abc"], axis=1)
    codes = drawn @ np.array([1, 2, 4])
    counts = np.bincount(codes, minlength=8) / num
    expected = np.zeros(8)
    members = [1 << "abc".index(m) for m in present]
    subsets = [[]]
    for member in members:
        subsets += [[*s, member] for s in subsets]
    for size in range(len(members)):
        of_size = [sum(s) for s in subsets if len(s) == size]
        for code in of_size:
            expected[code] = 1 / len(members) / len(of_size)
    # Never all that is there, never what is not: those have probability zero exactly.
    assert (counts[expected == 0] == 0).all()
    error = np.sqrt(expected * (1 - expected) / num)
    assert (np.abs(counts - expected) <= 5 * error).all()
