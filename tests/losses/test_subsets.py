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
    simulated_subset_nll,
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


DECODED = {"a": (0.8, 0.5), "b": (-0.6, 0.3)}


def redraw(frozen, rng_key, batch, z):
    """x_m = w_m z + s_m ξ, whatever the batch has."""
    keys = jax.random.split(rng_key, len(DECODED))
    return {
        m: frozen["decoders"] * (w * z + s * jax.random.normal(key, z.shape))
        for (m, (w, s)), key in zip(DECODED.items(), keys, strict=True)
    }


SIMULATED = SubsetModel(joint_posterior, posterior, redraw)


def test_simulated_mean_is_the_cross_entropy_under_the_decoders():
    """z − Σ_{m∈S} p_m x̃_m is normal, with mean and variance in closed form."""
    given = {"a": jnp.arange(5) % 2 == 0, "b": jnp.arange(5) > 2}
    frozen = JOINT | {"decoders": jnp.float32(1)}
    # Data are NaN here: that they are read would show.
    broken = {m: jnp.full_like(x, jnp.nan) for m, x in VIEWS.items()}

    def loss(key):
        return simulated_subset_nll(PARAMS, frozen, key, broken, given, model=SIMULATED)

    draws = jax.vmap(loss)(jax.random.split(jax.random.key(0), 20_000))
    chosen = np.array([[given[m][i] for m in "ab"] for i in range(5)], float)
    pulls = np.array([float(PARAMS[m]) for m in "ab"])
    slopes, noises = np.array(list(DECODED.values())).T
    left = (1 - chosen @ (pulls * slopes))[:, None]
    mean, spread = left * JOINT["mean"], left * JOINT["scale"]
    variance = spread**2 + (chosen @ (pulls * noises) ** 2)[:, None]
    own = float(PARAMS["scale"])
    terms = (mean**2 + variance) / own**2 + np.log(2 * np.pi * own**2)
    error = np.asarray(draws.std(0)) / 20_000**0.5
    assert (np.abs(draws.mean(0) - 0.5 * terms.sum(-1)) < 4 * error).all()


def test_no_gradient_reaches_encoder_and_decoders_by_simulated_rows():
    def loss(params, frozen):
        key = jax.random.key(0)
        return simulated_subset_nll(
            params, frozen, key, VIEWS, only("a"), model=SIMULATED
        ).sum()

    frozen = JOINT | {"decoders": jnp.float32(1)}
    own, of_frozen = jax.grad(loss, argnums=(0, 1))(PARAMS, frozen)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(of_frozen))
    assert own["a"] != 0 and own["b"] == 0


def test_simulated_rows_need_decoders():
    with pytest.raises(ValueError, match="`model.redraw` is None, expected a function"):
        simulated_subset_nll(
            PARAMS, JOINT, jax.random.key(0), VIEWS, only("a"), model=MODEL
        )


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
