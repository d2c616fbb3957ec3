"""Langevin against its own stationary law, and what it says when it diverges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import options
from jnf_jax.sampling.langevin import (
    LangevinSettings,
    as_top_level_api,
    build_kernel,
    check_run,
    init,
    langevin_path,
    run_langevin,
)


def standard_normal(*shape):
    return np.float32(np.random.default_rng(0).standard_normal(shape))


def normal(z):
    return -0.5 * jnp.sum(z**2)


def run(rng_key, start, log_density, settings):
    """``run_langevin`` in one program; NumPy arrays."""
    return jax.device_get(_run(rng_key, start, log_density, settings))


@functools.partial(jax.jit, static_argnums=(2, 3))
def _run(rng_key, start, log_density, settings):
    return run_langevin(rng_key, log_density, start, settings)


# (rng_key, state, log_density, step_size, inverse_mass) -> state, info
one_step = {
    kernel: jax.jit(build_kernel(kernel), static_argnums=2)
    for kernel in ("ula", "mala")
}
first_state = jax.jit(init, static_argnums=1)


@pytest.mark.usefixtures("fully_optimised")  # it computes for longer than it compiles
@pytest.mark.parametrize("step_size", [0.02, 0.08, 0.5])
def test_stationary_variance_of_ula_is_its_closed_form(step_size):
    # Started at the law that the discretised chain leaves invariant, N(0, 1/(1 − ε/2)),
    # and run for at least two relaxation times: a wrong drift or noise shows.
    expected = 1 / (1 - step_size / 2)
    start = standard_normal(20_000, 32) * np.float32(expected**0.5)
    settings = LangevinSettings(num_steps=int(3 / step_size), step_size=step_size)
    z, info = run(jax.random.key(1), start, normal, settings)
    # The sd of a sample variance of n normals is √(2/n) of it. An exact sampler is off
    # by ε/2, 1 % at least.
    tolerance = 5 * (2 / z.size) ** 0.5
    assert tolerance < step_size / 2
    assert abs(np.asarray(z, np.float64).var() / expected - 1) < tolerance
    assert int(info.first_bad_step.max()) == 0


def test_mala_is_exact_where_ula_is_not():
    start = standard_normal(40_000, 2)
    settings = LangevinSettings("mala", num_steps=20, step_size=0.5)
    z, info = run(jax.random.key(1), start, normal, settings)
    assert abs(float(np.var(z)) - 1) < 5 * (2 / 80_000) ** 0.5
    assert 0.5 < float(info.acceptance.mean()) < 1


def test_skewed_target_finds_the_right_side():
    # log p = z − eᶻ: the mean of a log-Exponential(1) variable is −γ (Euler), its
    # variance π²/6. MALA, so that there is no bias to allow for.
    start = jnp.zeros((20_000, 1))
    settings = LangevinSettings("mala", num_steps=200, step_size=0.5)
    z, _ = run(jax.random.key(0), start, lambda z: jnp.sum(z - jnp.exp(z)), settings)
    assert abs(float(z.mean()) + np.euler_gamma) < 5 * (np.pi**2 / 6 / 20_000) ** 0.5
    assert abs(float(z.var()) - np.pi**2 / 6) < 0.1


@pytest.mark.parametrize("kernel", ["ula", "mala"])
def test_top_level_api_is_the_kernel_on_one_density(kernel):
    key, z = jax.random.key(3), jnp.array([1.0, -2.0])
    chain = as_top_level_api(normal, 0.1, kernel)
    found = jax.jit(chain.step)(key, jax.jit(chain.init)(z))
    expected = one_step[kernel](key, first_state(z, normal), normal, 0.1)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_one_step_is_the_update_of_the_docstring():
    key, z, step = jax.random.key(3), np.float32([1.0, -2.0]), one_step["ula"]
    new, info = jax.device_get(step(key, first_state(z, normal), normal, 0.08))
    # Same noise with and without the drift: what differs is ε ∇log p.
    flat = lambda z: 0.0 * z.sum()  # noqa: E731
    noise_only, _ = jax.device_get(step(key, first_state(z, flat), flat, 0.08))
    np.testing.assert_allclose(new.position - noise_only.position, 0.08 * -z, rtol=1e-5)
    assert float(info.gradient_norm) == pytest.approx(5**0.5)
    assert float(info.energy) == pytest.approx(0.5 * float((new.position**2).sum()))
    moved = float(np.linalg.norm(new.position - z))
    assert float(info.displacement) == pytest.approx(moved)


def test_a_mass_scales_drift_and_noise():
    key, z, inverse = (
        jax.random.key(3),
        np.float32([1.0, -2.0]),
        np.float32([4.0, 0.25]),
    )
    step, flat = one_step["ula"], lambda z: 0.0 * z.sum()

    def moved(log_density, *mass):
        state, _ = step(key, first_state(z, log_density), log_density, 0.08, *mass)
        return np.asarray(state.position) - z

    noise, massive = moved(flat), moved(flat, inverse)
    np.testing.assert_allclose(massive, inverse**0.5 * noise, rtol=1e-5)
    np.testing.assert_allclose(
        moved(normal, inverse) - massive, -0.08 * inverse * z, rtol=1e-5
    )


def test_divergence_is_reported_and_leaves_no_nan():
    stiff = lambda z: -0.5e4 * jnp.sum(z**2)  # noqa: E731
    start = np.float32([[0, 0]] * 3 + [[1, 1]] * 2)
    settings = LangevinSettings(num_steps=50, step_size=0.08)
    z, info = run(jax.random.key(0), start, stiff, settings)
    assert np.isfinite(z).all()
    # From the mode the first step is noise of sd 0.4: 800 nats a dimension.
    assert (info.first_bad_step >= 1).all() and (info.first_bad_step <= 2).all()
    with pytest.raises(
        ValueError, match=r"`step_size` 0.08 of 'ula' .* 5 of 5 .* at step [12] of 50"
    ):
        check_run(info, settings)
    z, info = run(jax.random.key(0), start, normal, settings)
    check_run(info, settings)


@pytest.mark.parametrize("log_density", [normal, lambda z: jnp.sqrt(1 - z @ z)])
def test_chains_that_reject_every_step_are_reported(log_density):
    """A step far too long, to where the energy is vast, or where it is NaN."""
    settings = LangevinSettings("mala", num_steps=20, step_size=1e9)
    start = jnp.full((5, 2), 0.1)
    z, info = run(jax.random.key(0), start, log_density, settings)
    np.testing.assert_array_equal(z, start)
    assert (info.first_bad_step == 0).all()
    with pytest.raises(
        ValueError, match=r"`step_size` 1e\+09 of 'mala' .* acceptance 0, .* >= 0.1$"
    ):
        check_run(info, settings)


def test_no_steps_return_the_start():
    start = jnp.ones((4, 3))
    z, info = run(jax.random.key(0), start, normal, LangevinSettings(num_steps=0))
    np.testing.assert_array_equal(z, start)
    np.testing.assert_allclose(info.energy, 1.5)
    np.testing.assert_array_equal(info.displacement, 0)
    check_run(info, LangevinSettings("mala", num_steps=0))  # nothing was rejected


def test_path_passes_through_the_ends_of_shorter_runs():
    start, key = jnp.ones((4, 3)), jax.random.key(0)
    trace = jax.jit(langevin_path, static_argnums=(1, 3, 4))
    path, info = jax.device_get(
        trace(key, normal, start, LangevinSettings(num_steps=30), 10)
    )
    assert path.shape == (4, 4, 3)
    for index, num_steps in enumerate((0, 10, 20, 30)):
        z, short = run(key, start, normal, LangevinSettings(num_steps=num_steps))
        np.testing.assert_allclose(path[index], z, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), info, short)
    with pytest.raises(ValueError, match="`every` is 7, expected a divisor of .* 30"):
        langevin_path(key, normal, start, LangevinSettings(num_steps=30), 7)


def test_faults():
    good = LangevinSettings()
    assert not options.faults(good)
    bad = LangevinSettings("hmc", -1, 0.0)
    assert [f.split("`")[1] for f in options.faults(bad, "langevin")] == [
        "langevin.kernel",
        "langevin.num_steps",
        "langevin.step_size",
    ]
    (fault,) = options.faults(LangevinSettings(step_size=float("inf")), "langevin")
    assert fault == "`langevin.step_size` is inf, expected a finite number > 0"
    with pytest.raises(ValueError, match="`kernel` is 'hmc', expected one of"):
        build_kernel("hmc")


def test_a_chain_that_diverged_once_never_moves_again():
    """A walk on a flat density without one beyond 1, where steps back would be fine."""

    def flat(z):
        return jnp.where(jnp.abs(z[0]) < 1, 0.0 * z[0], jnp.nan)

    settings = LangevinSettings("ula", num_steps=30, step_size=0.05)
    walk = jax.jit(lambda key, z: langevin_path(key, flat, z, settings, 1))
    path, run = jax.device_get(walk(jax.random.key(0), jnp.zeros((50, 1))))
    stuck = np.flatnonzero((run.first_bad_step > 0) & (run.first_bad_step < 30))
    assert len(stuck) > 10
    for chain in stuck:
        before = run.first_bad_step[chain] - 1
        assert (path[before:, chain] == path[before, chain]).all()
        assert (np.diff(path[: before + 1, chain, 0]) != 0).all()
