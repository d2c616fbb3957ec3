"""Resampling, independence Metropolis and what warns of their weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jnf_jax.sampling import (
    KHAT_LIMIT,
    independence_metropolis,
    jump_and_move,
    resample,
    tempered_smc,
    weight_quality,
)

NUM_DATA, SIZE = 4_000, 200


def two_modes(z):
    """A curved density of two modes in two dimensions, 1 : 3; up to a constant."""
    x, y = z[..., 0], z[..., 1] - 0.2 * z[..., 0] ** 2
    left = stats.norm.logpdf(x, -2, 0.6) + stats.norm.logpdf(y, -1, 0.5)
    right = stats.norm.logpdf(x, 1.5, 0.8) + stats.norm.logpdf(y, 0, 0.7)
    return np.logaddexp(left, right + np.log(3))


def moments_on_a_grid():
    """Mean and variance of ``two_modes``, and its mass left of x = 0."""
    ticks = np.linspace(-9, 9, 451)
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.exp(two_modes(grid))[:, None]
    mass /= mass.sum()
    mean = (mass * grid).sum(0)
    variance = (mass * (grid - mean) ** 2).sum(0)
    fourth = (mass * (grid - mean) ** 4).sum(0)
    return mean, variance, fourth, mass[grid[:, 0] < 0].sum()


@functools.cache
def proposals():
    """Draws of a wider normal for as many data, and their weights; f32[K, B]."""
    rng = np.random.default_rng(0)
    z = 2.5 * rng.standard_normal((SIZE, NUM_DATA, 2))
    log_q = stats.norm.logpdf(z, 0, 2.5).sum(-1)
    return z, jnp.asarray(two_modes(z) - log_q, jnp.float32)


def chosen_by(way):
    _, log_weights = proposals()
    if way == "resample":
        return jax.jit(resample)(jax.random.key(1), log_weights)
    index, acceptance = jax.jit(independence_metropolis)(jax.random.key(1), log_weights)
    assert 0.02 < acceptance.mean() < 0.9
    return index


@pytest.mark.parametrize("way", ["resample", "irmh"])
def test_a_wider_proposal_becomes_the_density_with_both_its_modes(way):
    z, _ = proposals()
    drawn = z[np.asarray(chosen_by(way)), np.arange(NUM_DATA)]
    mean, variance, fourth, left = moments_on_a_grid()
    # 4 standard errors of 4,000 independent draws; the bias of K = 200 is below one.
    assert (np.abs(drawn.mean(0) - mean) < 4 * np.sqrt(variance / NUM_DATA)).all()
    error = np.sqrt((fourth - variance**2) / NUM_DATA)
    assert (np.abs(((drawn - mean) ** 2).mean(0) - variance) < 4 * error).all()
    share = (drawn[:, 0] < 0).mean()
    assert abs(share - left) < 4 * np.sqrt(left * (1 - left) / NUM_DATA)


def log_two_modes(z):
    """``two_modes`` of one z, in JAX."""
    normal = jax.scipy.stats.norm.logpdf
    x, y = z[0], z[1] - 0.2 * z[0] ** 2
    left = normal(x, -2, 0.6) + normal(y, -1, 0.5)
    right = normal(x, 1.5, 0.8) + normal(y, 0, 0.7)
    return jnp.logaddexp(left, right + jnp.log(3.0))


def normal_of(scale, at=0.0):
    return lambda z: jax.scipy.stats.norm.logpdf(z, at, scale).sum()


def check_both_modes(drawn):
    """4 standard errors of as many independent draws."""
    mean, variance, fourth, left = moments_on_a_grid()
    drawn, num = np.asarray(drawn), len(drawn)
    assert (np.abs(drawn.mean(0) - mean) < 4 * np.sqrt(variance / num)).all()
    error = np.sqrt((fourth - variance**2) / num)
    assert (np.abs(((drawn - mean) ** 2).mean(0) - variance) < 4 * error).all()
    share = (drawn[:, 0] < 0).mean()
    assert abs(share - left) < 4 * np.sqrt(left * (1 - left) / num)


def test_tempering_carries_a_wider_proposal_to_both_modes():
    """64 particles of 1,500 data; BlackJAX's SMC is exact as their number grows."""

    @jax.jit
    @jax.vmap
    def one_datum(rng_key):
        draw_key, move_key, choose_key = jax.random.split(rng_key, 3)
        start = 2.5 * jax.random.normal(draw_key, (64, 2))
        densities = normal_of(2.5), log_two_modes
        found = tempered_smc(move_key, start, *densities, num_steps=4)
        chosen = resample(choose_key, found.log_weights[:, None])[0]
        return found.particles[chosen], found.temperature

    drawn, temperature = one_datum(jax.random.split(jax.random.key(0), 1_500))
    assert (np.asarray(temperature) == 1).all()
    check_both_modes(drawn)


def jumped(num, num_proposals, scale, at, log_target, size=2):
    """Ends of ``num`` chains whose proposals are N(at, scale² I), and how they went."""

    @jax.jit
    @jax.vmap
    def one_datum(rng_key):
        draw_key, run_key = jax.random.split(rng_key)
        z = at + scale * jax.random.normal(draw_key, (num_proposals, size))
        return jump_and_move(run_key, z, normal_of(scale, at), log_target)

    return map(np.asarray, one_datum(jax.random.split(jax.random.key(0), num)))


def test_jumps_in_turn_with_moves_find_both_modes():
    """40 proposals and as many moves of 2,000 data."""
    drawn, accepted, moved = jumped(2_000, 40, 2.5, 0.0, log_two_modes)
    check_both_modes(drawn)
    assert 0.02 < accepted.mean() < 0.9
    assert abs(moved.mean() - 0.7) < 0.1  # what the step is adapted to


def test_jumps_alone_lead_from_mode_to_mode():
    """Modes 1 : 3 at -8 and 4, of sd .5: no move crosses. Of N(0, 4²) the rarer one is
    seldom proposed, which the weights make up for."""

    def log_target(z):
        left, right = normal_of(0.5, -8.0)(z), normal_of(0.5, 4.0)(z)
        return jnp.logaddexp(left, right + jnp.log(3.0))

    drawn, _, _ = jumped(1_500, 400, 4.0, 0.0, log_target, size=1)
    error = np.sqrt(0.25 * 0.75 / 1_500)
    assert abs((drawn[:, 0] < 0).mean() - 0.25) < 4 * error


def test_moves_arrive_where_no_jump_leads():
    """From N(6, .3²) to N(0, 1): no proposal is near. Moves alone, forty of them."""
    drawn, _, _ = jumped(1_000, 40, 0.3, 6.0, normal_of(1.0))
    # 4 standard errors of as many draws.
    assert (np.abs(drawn.mean(0)) < 4 / np.sqrt(1_000)).all()
    assert (np.abs(drawn.var(0) - 1) < 4 * np.sqrt(2 / 1_000)).all()


def test_weights_make_up_for_steps_that_ended_early():
    """One step from N(0, I) towards N(0, .2² I) ends before λ = 1. The particles are
    wider than the target, their weights are not."""

    def normal(scale):
        return lambda z: -0.5 * jnp.sum((z / scale) ** 2)

    @jax.jit
    @jax.vmap
    def one_datum(rng_key):
        draw_key, move_key = jax.random.split(rng_key)
        start = jax.random.normal(draw_key, (500, 2))
        found = tempered_smc(move_key, start, normal(1.0), normal(0.2), num_steps=1)
        squares = jnp.square(found.particles).mean(-1)
        weights = jax.nn.softmax(found.log_weights)
        return found.temperature, squares.mean(), weights @ squares

    temperature, wide, weighted = map(
        np.asarray, one_datum(jax.random.split(jax.random.key(0), 200))
    )
    assert (temperature < 0.5).all() and wide.mean() > 2 * 0.04
    error = weighted.std() / np.sqrt(200)
    # 4 standard errors, and a self-normalised mean of 500 is off by about 1 / ESS.
    assert abs(weighted.mean() - 0.04) < 4 * error + 0.04 / 50


def weights_of_normal(scale, num=1_000, num_data=50, size=2):
    """log N(z; 0, I) / N(z; 0, scale² I) at draws of the latter."""
    z = scale * np.random.default_rng(0).standard_normal((num, num_data, size))
    ratio = stats.norm.logpdf(z).sum(-1) - stats.norm.logpdf(z, 0, scale).sum(-1)
    return jnp.asarray(ratio, jnp.float32)


def test_khat_flags_a_proposal_that_is_too_narrow_and_no_other():
    """Weights of a normal of scale s in two dimensions have the shape 1 − s² > 0; those
    of a wider one are bounded."""
    flagged = {}
    for scale in (0.3, 0.8, 1.0, 1.5):
        found = jax.jit(weight_quality)(weights_of_normal(scale))
        assert np.isfinite(found.khat).all()
        flagged[scale] = float((np.asarray(found.khat) > KHAT_LIMIT).mean())
        if scale == 1.0:  # the proposal is the target
            np.testing.assert_allclose(found.ess, 1_000, rtol=1e-3)
    assert flagged[0.3] > 0.9
    assert flagged[0.8] < 0.1 and flagged[1.0] == flagged[1.5] == 0


def test_few_weights_have_an_effective_size_and_no_khat():
    log_weights = jnp.log(jnp.array([[1.0], [1.0], [2.0], [0.0]]))
    found = jax.jit(weight_quality)(log_weights)
    np.testing.assert_allclose(found.ess, 16 / 6, rtol=1e-6)
    assert np.isnan(found.khat).all()


def test_what_is_no_number_is_never_chosen():
    log_weights = jnp.array([[jnp.nan], [0.0], [jnp.inf], [-jnp.inf]])
    assert resample(jax.random.key(0), log_weights).tolist() == [1]
    index, _ = independence_metropolis(jax.random.key(0), log_weights)
    assert index.tolist() == [1]


def test_one_proposal_is_taken():
    log_weights = jnp.array([[0.3, -2.0]])
    one = jnp.array([[0.5, -1.0]])
    end, *_ = jump_and_move(jax.random.key(0), one, normal_of(1.0), normal_of(2.0))
    assert end.tolist() == [0.5, -1.0]
    assert resample(jax.random.key(0), log_weights).tolist() == [0, 0]
    assert independence_metropolis(jax.random.key(0), log_weights)[0].tolist() == [0, 0]
