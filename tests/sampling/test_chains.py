import functools
import inspect

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import linear_gaussian

from jnf_jax import sampling
from jnf_jax.sampling import (
    ChainSettings,
    adapt_step_size,
    diagnose,
    product_log_density,
    run_chains,
    warnings,
)


def to_numpy(function):
    """What the function gives, as NumPy arrays."""
    return lambda *args, **kwargs: jax.device_get(function(*args, **kwargs))


@to_numpy
@functools.partial(jax.jit, static_argnames=("log_density", "settings"))
def adapt_and_run(rng_key, context, start, *, log_density, settings):
    adapt_key, run_key = jax.random.split(rng_key)
    step_size = adapt_step_size(adapt_key, log_density, context, start, settings)
    return run_chains(
        run_key, log_density, context, start, step_size, settings, keep=True
    )


@to_numpy
@functools.partial(jax.jit, static_argnames=("log_density", "settings"))
def run(rng_key, context, start, step_size, *, log_density, settings):
    return run_chains(
        rng_key, log_density, context, start, step_size, settings, keep=True
    )


compute_diagnostics = to_numpy(jax.jit(diagnose))


def standard_normal(seed, *shape):
    return np.float32(np.random.default_rng(seed).standard_normal(shape))


def normal_log_density(z, context):
    """N(mean, scale^2), or its reciprocal, improper, where sign is -1."""
    standard = (z - context["mean"]) / context["scale"]
    return -0.5 * context["sign"] * (standard**2).sum()


def normal_context(num_data, size, scale=0.477, num_improper=0):
    mean = np.linspace(-1.0, 2.0, num_data * size).reshape(num_data, size)
    sign = np.where(np.arange(num_data) < num_improper, -1.0, 1.0)
    scale = np.full((num_data, size), scale)
    return {
        "mean": np.float32(mean),
        "scale": np.float32(scale),
        "sign": np.float32(sign),
    }


# --- the product of three Gaussian experts -------------------------------------------

SUBSET = ("a", "b", "c")


def expert_log_prob(z, mean, precision):
    return -0.5 * (z - mean) @ precision @ (z - mean)


def subset_log_density(z, context, *, prior_exponent=None):
    experts = [
        functools.partial(expert_log_prob, mean=mean, precision=precision)
        for mean, precision in zip(*context, strict=True)
    ]
    return product_log_density(
        experts, lambda z: -0.5 * (z**2).sum(), prior_exponent=prior_exponent
    )(z)


@pytest.fixture(scope="module")
def product():
    """Context of three experts p(z|x_j), over-dispersed starts, true moments."""
    model = linear_gaussian({"a": 2, "b": 3, "c": 4}, 3, seed=4)
    _, views = model.sample(seed=5, num=4)
    posteriors = [model.posterior({m: views[m]}) for m in SUBSET]
    means = tuple(jnp.asarray(mean, jnp.float32) for mean, _ in posteriors)
    precisions = tuple(
        jnp.broadcast_to(jnp.asarray(np.linalg.inv(c), jnp.float32), (4, 3, 3))
        for _, c in posteriors
    )
    mean, covariance = model.posterior(views)
    rng = np.random.default_rng(6)
    start = jnp.asarray(mean + 1.5 * rng.standard_normal((8, 4, 3)), jnp.float32)
    return (means, precisions), start, mean, np.diag(covariance)


def standardised_errors(draws, mean, variance):
    """|estimate - truth| / (sd / sqrt(ESS)) and the ESS, of E z, E z^2: [2, B, D]."""
    diagnostics = compute_diagnostics(draws)
    ess = np.stack([diagnostics.ess, diagnostics.ess_squared])
    truth = np.stack([mean, mean**2 + variance])
    sd = np.sqrt(
        np.stack([0 * mean + variance, 2 * variance**2 + 4 * mean**2 * variance])
    )
    flat = np.asarray(draws, np.float64).reshape(-1, *mean.shape)
    estimate = np.stack([flat.mean(0), (flat**2).mean(0)])
    return np.abs(estimate - truth) / (sd / np.sqrt(ess)), ess


SETTINGS = ChainSettings(num_transitions=500)


def test_product_of_three_experts_has_the_posterior_s_first_two_moments(product):
    context, start, mean, variance = product
    _, info, draws = adapt_and_run(
        jax.random.key(0),
        context,
        start,
        log_density=subset_log_density,
        settings=SETTINGS,
    )
    draws = draws[50:]
    errors, ess = standardised_errors(draws, mean, variance)
    assert ess.min() > 300
    assert errors.max() < 5  # 24 quantities, each within 5 standard errors
    assert abs(float(info.acceptance.mean()) - 0.8) < 0.12
    assert warnings(compute_diagnostics(draws), info) == []


def test_prior_exponent_one_is_wrong_for_three_experts(product):
    # What MultiVae divides by, whatever |S|; the same check must fail.
    context, start, mean, variance = product
    wrong = functools.partial(subset_log_density, prior_exponent=1)
    _, _, draws = run(
        jax.random.key(0),
        context,
        start,
        jnp.asarray(0.4),
        log_density=wrong,
        settings=SETTINGS,
    )
    errors, ess = standardised_errors(draws[50:], mean, variance)
    assert ess.min() > 300
    assert errors[0].max() > 5 and errors[1].max() > 5


# --- resonance -----------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["hmc", "dynamic_hmc"])
def test_fixed_length_resonates_and_the_squares_show_it(kernel):
    # L eps = pi sigma: every proposal of fixed-length HMC is the mirror image of the
    # state about the mean, so per-chain means look perfect and variances are wrong.
    context = normal_context(num_data=3, size=4)
    context["mean"] = 0 * context["mean"]
    start = np.float32(0.477) * standard_normal(1, 4, 3, 4)
    settings = ChainSettings(kernel=kernel, num_transitions=500, num_leapfrog=10)
    _, info, draws = run(
        jax.random.key(2),
        context,
        start,
        jnp.asarray(0.15),
        log_density=normal_log_density,
        settings=settings,
    )
    diagnostics = compute_diagnostics(draws)
    assert info.acceptance.mean() > 0.95
    assert np.abs(draws.mean((0, 1))).max() < 0.1  # the means see nothing
    if kernel == "hmc":
        assert diagnostics.rhat_squared.max() > 1.5
        (message,) = [w for w in warnings(diagnostics, info) if "R-hat" in w]
        assert "the chains disagree" in message
    else:
        assert diagnostics.rhat_squared.max() < 1.05
        assert not [w for w in warnings(diagnostics) if "R-hat" in w]
        # relative standard error of sd: 1 / sqrt(2 ESS), ESS > 100
        np.testing.assert_allclose(draws.std((0, 1)), 0.477, rtol=0.2)


# --- one trajectory length for all ---------------------------------------------------


def while_conditions(jaxpr):
    """The condition of every while loop in a jaxpr, however deep."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "while":
            yield equation.params["cond_jaxpr"].jaxpr
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from while_conditions(inner)


@pytest.mark.parametrize("kernel", ["dynamic_hmc", "nuts"])
def test_trajectory_length_is_shared_by_all_chains(kernel):
    # A loop condition with batch axes runs until the longest chain is through.
    context, start = normal_context(3, 2), jnp.zeros((4, 3, 2))
    settings = ChainSettings(kernel=kernel, num_transitions=2)
    traced = jax.make_jaxpr(
        lambda rng_key, start: run_chains(
            rng_key, normal_log_density, context, start, 0.1, settings
        )
    )(jax.random.key(0), start)
    conditions = list(while_conditions(traced.jaxpr))
    assert conditions
    batched = [c.outvars[0].aval.shape != () for c in conditions]
    assert any(batched) == (kernel == "nuts")  # nuts shows that the test can see it


def test_trajectory_lengths_are_random_within_bounds_and_equal_across_chains():
    context, start = normal_context(3, 2), jnp.zeros((4, 3, 2))
    settings = ChainSettings(num_transitions=1, min_leapfrog=2, max_leapfrog=5)
    lengths = []
    for seed in range(30):
        _, info, _ = run(
            jax.random.key(seed),
            context,
            start,
            jnp.asarray(0.1),
            log_density=normal_log_density,
            settings=settings,
        )
        assert len(set(np.asarray(info.num_leapfrog).ravel())) == 1
        lengths.append(int(info.num_leapfrog[0, 0]))
    assert set(lengths) == {2, 3, 4, 5}


# --- robustness ----------------------------------------------------------------------


def test_step_size_survives_improper_targets_and_bad_data():
    settings = ChainSettings()
    start = jnp.asarray(0.477 * standard_normal(3, 4, 20, 4))

    @jax.jit
    def adapt(context):
        return adapt_step_size(
            jax.random.key(0), normal_log_density, context, start, settings
        )

    clean = float(adapt(normal_context(20, 4)))
    assert 0.1 < clean < 1.0
    runaway = float(adapt(normal_context(20, 4, num_improper=6)))
    assert 0.5 < runaway / clean < 2.0
    bad = normal_context(20, 4)
    bad["mean"][:8] = np.nan
    assert 0.5 < float(adapt(bad)) / clean < 2.0
    bad["mean"][:] = np.nan
    assert np.isfinite(float(adapt(bad)))


def test_chains_never_hold_a_non_finite_position():
    # An improper target runs away, NaN data never move, a proper one is undisturbed.
    context = normal_context(3, 4, num_improper=1)
    context["scale"][0] = 2.0
    context["mean"][1] = np.nan
    start = np.ones((4, 3, 4), np.float32)
    final, info, draws = run(
        jax.random.key(0),
        context,
        start,
        jnp.asarray(0.6),
        log_density=normal_log_density,
        settings=SETTINGS,
    )
    assert np.isfinite(draws).all() and np.isfinite(final).all()
    assert info.displacement[:, 0].min() > 20 and info.divergences[:, 0].min() > 0
    assert (info.non_finite[:, 1] == SETTINGS.num_transitions).all()
    assert (info.acceptance[:, 1] == 0).all()
    np.testing.assert_array_equal(final[:, 1], start[:, 1])
    assert (info.non_finite[:, 2] == 0).all() and info.acceptance[:, 2].min() > 0.5
    diagnostics = compute_diagnostics(draws)
    assert diagnostics.share_unconverged >= 1 / 3  # chains that never moved count
    assert any("diverged" in message for message in warnings(diagnostics, info))


def test_infinite_densities_and_nan_gradients_are_never_entered():
    def log_density(z, overflows):
        smooth = -0.5 * (z**2).sum()
        cliff = jnp.where(z[0] > 1, jnp.inf, smooth)  # not "infinitely likely"
        # finite beyond 1, but the gradient of this where is NaN there
        root = jnp.sqrt(jnp.where(overflows, 1.0, 1 - z[0]))
        trap = smooth + 0.1 * jnp.where(z[0] > 1, 0.0, root)
        return jnp.where(overflows, cliff, trap)

    _, info, draws = run(
        jax.random.key(0),
        jnp.asarray([True, False]),
        jnp.zeros((5, 2, 1)),
        jnp.asarray(0.5),
        log_density=log_density,
        settings=ChainSettings(num_transitions=200),
    )
    assert draws.max() <= 1 and info.non_finite.min() > 0
    assert draws[150:].std(0).min() > 0.1  # nobody is stuck


# --- kernels, settings, contracts ----------------------------------------------------


def test_inverse_mass_makes_scales_of_a_hundred_alike():
    scale = np.float32([[1.0, 0.01]])
    context = {"mean": jnp.zeros((1, 2)), "scale": scale, "sign": jnp.ones(1)}

    @to_numpy
    @jax.jit
    def sample(rng_key, inverse_mass):
        return run_chains(
            rng_key,
            normal_log_density,
            context,
            jnp.zeros((8, 1, 2)),
            0.5,
            ChainSettings(num_transitions=300),
            inverse_mass,
            keep=True,
        )

    _, info, draws = sample(jax.random.key(0), scale**2)
    assert info.acceptance.mean() > 0.8
    # ESS > 500 (measured): relative standard error of sd below 0.032
    np.testing.assert_allclose(draws.std((0, 1)), scale, rtol=0.15)


@pytest.mark.parametrize("step_size", [0.4, 0.8, 1.2])
def test_unadjusted_langevin_has_its_biased_stationary_variance(step_size):
    """σ²/(1 − δ² m/(4σ²)) for N(·, σ²), step δ and inverse mass m."""
    scale = np.float32([[1.0, 0.01]])
    context = {"mean": scale, "scale": scale, "sign": jnp.ones(1)}
    inverse_mass = jnp.asarray(scale**2 * np.float32([1.0, 0.5]))
    noise = standard_normal(0, 20_000, 1, 2)
    settings = ChainSettings("ula", num_transitions=100, num_adaptation=0)

    @to_numpy
    @jax.jit
    def sample(rng_key, start):
        return run_chains(
            rng_key, normal_log_density, context, start, step_size, settings,
            inverse_mass,
        )  # fmt: skip

    z, info, _ = sample(jax.random.key(1), scale + scale * noise)
    expected = np.asarray(inverse_mass) / (4 * scale**2)
    expected = scale**2 / (1 - step_size**2 * expected)
    # Relative standard error √(2 / 20,000) = 0.01; 5 of them.
    np.testing.assert_allclose(z.var(0), expected, rtol=0.05)
    assert (np.abs(z.mean(0) - scale) < 5 * np.sqrt(expected / 20_000)).all()
    assert (info.acceptance == 1).all() and not info.divergences.any()


def test_unadjusted_langevin_tells_of_steps_that_lead_nowhere():
    """It stays below a wall of +inf, and its runaways count as divergent."""
    wall = lambda z, is_wall: jnp.where(  # noqa: E731
        is_wall & (z[0] > 1), jnp.inf, -0.5 * (z**2).sum()
    )
    settings = ChainSettings("ula", num_transitions=60, num_adaptation=0)
    context, start = np.asarray([True, False]), np.full((5, 2, 1), -3.0, np.float32)
    _, info, draws = run(
        jax.random.key(0), context, start, jnp.asarray(0.7), log_density=wall,
        settings=settings,
    )  # fmt: skip
    assert draws[:, :, 0].max() <= 1 < draws[:, :, 1].max()
    assert info.non_finite[:, 0].min() > 0 and not info.non_finite[:, 1].any()
    stayed = np.diff(draws[:, :, 0, 0], axis=0, prepend=start[None, :, 0, 0]) == 0
    first = 1 + np.argmax(stayed, axis=0)
    np.testing.assert_array_equal(info.first_divergence[:, 0], first)
    assert len(set(first.tolist())) > 1 and not info.first_divergence[:, 1].any()
    _, info, draws = run(
        jax.random.key(0), context, start, jnp.asarray(3.0), log_density=wall,
        settings=settings,
    )  # fmt: skip
    assert info.divergences[:, 1].min() > 0 and np.isfinite(draws).all()


def test_chains_run_in_double_precision_too():
    """Forks may enable it: then integers are wider as well."""
    with jax.enable_x64(True):
        z, info, _ = run_chains(
            jax.random.key(0),
            lambda z, mean: -0.5 * ((z - mean) ** 2).sum(),
            jnp.zeros((2, 1)),
            jnp.zeros((3, 2, 1)),
            0.5,
            ChainSettings(num_transitions=3),
        )
    assert z.dtype == np.float64 and info.first_divergence.dtype == np.int32


def test_one_trace_over_many_calls():
    count = 0

    def log_density(z, mean):
        nonlocal count
        count += 1
        return -0.5 * ((z - mean) ** 2).sum()

    results = []
    for call in range(4):
        results.append(
            adapt_and_run(
                jax.random.key(call),
                jnp.full((3, 2), call, jnp.float32),
                jnp.zeros((2, 3, 2)),
                log_density=log_density,
                settings=ChainSettings(num_transitions=5, num_adaptation=5),
            )
        )
        if call == 0:
            traces = count
    assert count == traces
    assert not np.array_equal(results[0][0], results[1][0])
    again = adapt_and_run(
        jax.random.key(0),
        jnp.zeros((3, 2)),
        jnp.zeros((2, 3, 2)),
        log_density=log_density,
        settings=ChainSettings(num_transitions=5, num_adaptation=5),  # an equal one
    )
    assert count == traces
    np.testing.assert_array_equal(again[0], results[0][0])


def test_draws_only_when_asked_and_the_last_is_the_final_position():
    context, start = normal_context(3, 2), np.zeros((4, 3, 2), np.float32)
    settings = ChainSettings(num_transitions=6)
    arguments = jax.random.key(0), normal_log_density, context, start, 0.3, settings
    final, info, draws = jax.device_get(
        jax.jit(run_chains, static_argnums=(1, 5, 7))(*arguments, None, True)
    )
    assert draws.shape == (6, 4, 3, 2) and info.num_transitions == 6
    np.testing.assert_array_equal(draws[-1], final)
    moved = np.sqrt(np.square(final - start).mean(-1))
    np.testing.assert_allclose(info.displacement, moved, rtol=1e-6)
    shapes = jax.eval_shape(
        functools.partial(
            run_chains, settings=settings, log_density=normal_log_density
        ),
        arguments[0],
        context=context,
        initial_position=start,
        step_size=0.3,
    )
    assert shapes[2] is None


def test_no_adaptation_keeps_the_initial_step_size():
    settings = ChainSettings(num_adaptation=0, initial_step_size=0.25)
    start = jnp.zeros((2, 3, 2))
    got = adapt_step_size(
        jax.random.key(0), normal_log_density, normal_context(3, 2), start, settings
    )
    assert got == 0.25


def test_first_arguments_of_the_samplers():
    expected = ["rng_key", "log_density", "context", "initial_position"]
    for sampler in (adapt_step_size, run_chains):
        assert list(inspect.signature(sampler).parameters)[:4] == expected
    names = list(inspect.signature(sampling.initial_positions).parameters)
    assert names[:2] == ["rng_key", "expert_samples"]
    names = list(inspect.signature(product_log_density).parameters)
    assert names[:2] == ["expert_log_probs", "prior_log_density"]
    assert names[2:] == ["prior_exponent", "defensive_weight"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kernel", "gibbs", "is 'gibbs', expected one of 'dynamic_hmc', 'hmc', 'nuts"),
        ("kernel", "ula", "`settings.num_adaptation` is 100, expected 0 with `kernel"),
        ("num_transitions", 0, "`settings.num_transitions` is 0, expected >= 1"),
        ("max_leapfrog", 0, "is 0, expected >= `min_leapfrog` = 1"),
        ("num_adaptation", -1, "`settings.num_adaptation` is -1, expected >= 0"),
        ("target_acceptance", 1.0, "is 1.0, expected > 0 and < 1"),
        ("initial_step_size", 0.0, "`settings.initial_step_size` is 0.0, expected > 0"),
    ],
)
def test_bad_settings(field, value, message):
    with pytest.raises(ValueError, match=message):
        sampling.hmc.build_ensemble(
            normal_log_density, normal_context(1, 2), ChainSettings(**{field: value})
        )


# --- diagnostics ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (2, 3)])
def test_diagnostics_of_independent_draws(shape):
    draws = standard_normal(0, 250, 4, *shape)
    found = compute_diagnostics(draws)
    for field in (found.rhat, found.rhat_squared, found.ess, found.ess_squared):
        assert field.shape == shape
    assert found.rhat_max < 1.05 and found.share_unconverged == 0
    assert 400 < found.ess_min and found.ess_median < 2000
    assert warnings(found) == []


def test_diagnostics_tell_which_datum_and_dimension_is_bad():
    draws = standard_normal(0, 250, 4, 2, 3)
    draws[:, 0, 1, 2] += 3  # one chain elsewhere
    draws[:, 0, 0, 1] *= 3  # one chain wider: only the squares differ in mean
    found = compute_diagnostics(jnp.asarray(draws))
    assert found.rhat[1, 2] > 1.2 and found.rhat_squared[0, 1] > 1.1
    np.testing.assert_allclose(found.share_unconverged, 2 / 6, rtol=1e-6)
    (message,) = warnings(found)
    assert "33.3% of (datum, dimension) pairs" in message


def test_squares_have_diagnostics_of_their_own():
    draws = 1 + standard_normal(1, 50, 4, 2, 3)
    found, of_squares = compute_diagnostics(draws), compute_diagnostics(draws**2)
    np.testing.assert_array_equal(found.rhat_squared, of_squares.rhat)
    np.testing.assert_array_equal(found.ess_squared, of_squares.ess)
    assert (found.ess_squared != found.ess).all()


def test_growth_is_the_ratio_of_mean_squared_norms_of_the_halves():
    half = standard_normal(2, 25, 4, 2, 3)
    draws = np.concatenate([half, half * np.array([[1.0], [2.0]])])
    found = compute_diagnostics(draws)
    np.testing.assert_allclose(found.growth, [1, 4], rtol=1e-5)
    assert found.share_growing == 0.5


def test_chains_grow_where_a_density_has_no_tails():
    """N(0, 1) beside a constant is no density, though nothing in its bulk says so."""

    def log_density(z, context):
        return jnp.logaddexp(-0.5 * (z**2).sum(), jnp.log(context))

    context = np.float32([0.0, 0.2])
    settings = ChainSettings("hmc", 200, num_leapfrog=5)
    _, _, draws = run(
        jax.random.key(0), context, jnp.zeros((4, 2, 2)), 0.5,
        log_density=log_density, settings=settings,
    )  # fmt: skip
    found = compute_diagnostics(draws)
    assert abs(found.growth[0] - 1) < 0.25 < 1 < found.growth[1]
    assert found.share_growing == 0.5


def test_what_is_kept_has_forgotten_the_start():
    """From 60 standard deviations away, and not one kept draw beyond eight."""
    context = normal_context(4, 2, scale=1.0)
    start = jnp.asarray(context["mean"]) + jnp.array([60.0, -60.0])

    @jax.jit
    def kept(burn_key, run_key):
        settings = ChainSettings("hmc", 40, num_leapfrog=3)
        return sampling.chains.burn_and_keep(
            burn_key, run_key, normal_log_density, context,
            jnp.stack([start, start]), jnp.float32(0.7), settings,
        )[1]  # fmt: skip

    draws = np.asarray(kept(*jax.random.split(jax.random.key(0))))
    assert draws.shape == (40, 2, 4, 2)
    assert np.abs(draws - context["mean"]).max() < 8


def test_diagnostics_need_two_chains():
    with pytest.raises(ValueError, match="draws: got 10 draws of 1 chains"):
        diagnose(jnp.zeros((10, 1, 2, 3)))
