"""What is said of an energy; tests/test_programs.py evaluates one."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_config

from jnf_jax.evaluation import energy_report
from jnf_jax.evaluation.classifiers import Classifiers
from jnf_jax.evaluation.plots import histogram
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.subject import HeldOut, Subject
from jnf_jax.experiments import experiment
from jnf_jax.experiments.experiment import stage_identity
from jnf_jax.methods.product import Quotient
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.sampling import LangevinSettings


def open_setup(**options):
    """An energy fitted afterwards, with these options."""
    energy = dict(name="energy", hidden_sizes=(8, 8), num_steps=5) | options
    config = tiny_config(
        method="jmvae",
        flow__num_blocks=0,
        stages="joint,prior",
        fitted_prior=energy,
        prior=dict(num_steps=20, batch_size=16, select="last"),
    ).unlock()
    del config.unimodal
    return experiment.open_experiment(config)


def test_gap_is_warned_of_beyond_its_limit_only():
    def warned(mean, log_variance):
        gap = energy_report.MomentGap(np.float32(mean), np.float32(log_variance))
        return energy_report._moment_warning(gap, 60, "'prior'")

    assert warned(0.2, 0.2) is None
    assert "means by 0.31 sd" in warned(0.31, 0.0)
    assert "log variances by 0.40" in warned(0.0, 0.4)
    assert warned(0.0, np.nan)
    assert warned(0.3, 0.0).endswith("divide by it: set `sampler.divisor` to 'prior'")


TILT = np.array([1.0, -0.5, 0.25, 1.5])
EPSILON, NUM = 0.05, 2_000


@functools.cache
def planted(**options):
    """f(u) = b·u, so that p = N(b, I) of u = 2 (z − 3), p_0 = N(0, I) of u."""
    setup = open_setup(**(dict(hidden_sizes=(), step_size=EPSILON) | options))
    prior = setup.method.stages[-1].init(jax.random.key(0))
    there = {"mean": jnp.full(4, 3.0), "scales": jnp.full(4, 0.5)}
    prior["whitening"] = prior["whitening"] | there
    (dense,) = prior["density"]
    kernel = jnp.asarray(TILT[:, None], jnp.float32)
    prior["density"] = {dense: {"kernel": kernel, "bias": jnp.zeros(1)}}
    return setup, {"joint": {}, "prior": prior}


def after(num_steps):
    """Mean and variance of u after as many steps of ULA from N(0, I), and so of z.

    u' = u − ε (u − b) + √(2ε) ξ: its variance tends to 1/(1 − ε/2).
    """
    left, limit = (1 - EPSILON) ** num_steps, 1 / (1 - EPSILON / 2)
    mean, variance = TILT * (1 - left), limit + left**2 * (1 - limit)
    return 3 + mean / 2, variance / 4


def check_moments(z, mean, variance, num):
    """As of ``num`` independent draws: 5 standard errors."""
    z = np.asarray(z, np.float64).reshape(-1, 4)
    assert (np.abs(z.mean(0) - mean) < 5 * (variance / num) ** 0.5).all()
    np.testing.assert_allclose(z.var(0), variance, rtol=5 * (2 / num) ** 0.5)


def subject_of(setup, params, **changes):
    settings = setup.experiment.evaluation
    of = Subject(setup.method.inference, params, setup.dataset, None, None, settings)
    return of._replace(**changes)


def look(subject):
    """As the report looks, at a posterior that is N(−1, 4 I) of u."""
    posterior = 2.5 + jax.random.normal(jax.random.key(5), (NUM, 4))
    return energy_report._look(
        subject.inference, subject.params, "energy_after", jax.random.key(1), posterior
    )


def test_draws_and_chains_have_the_moments_of_a_known_tilt_in_z():
    setup, params = planted()
    inference, name = setup.method.inference, "energy_after"
    draws, _, log_tilt = look(subject_of(setup, params))
    check_moments(draws.posterior, 2.5, 1.0, NUM)
    check_moments(draws.short_run, *after(5), NUM)
    check_moments(draws.reference, *after(0), NUM)
    for z, f in zip(draws, log_tilt, strict=True):
        np.testing.assert_allclose(f, 2 * (z - 3) @ TILT, atol=1e-4)
    found = energy_report._long_run(inference, params, name, jax.random.key(1), draws)
    check_moments(found.draws, 3 + TILT / 2, 1 / 4, float(found.diagnostics.ess_min))
    path, _ = energy_report._path(inference, params, name, jax.random.key(2), NUM)
    for num_steps, z in zip(energy_report.STEP_NUMBERS, path, strict=True):
        check_moments(z, *after(num_steps), NUM)


def test_report_and_picture_are_of_the_known_tilt(monkeypatch):
    shown = {}
    monkeypatch.setattr(energy_report, "_draw", lambda subject, name: look(subject))

    def drawn(samples, title):
        shown[title] = samples
        return histogram(samples, title=title)

    monkeypatch.setattr(energy_report, "histogram", drawn)
    monkeypatch.setattr(
        energy_report,
        "_step_warning",
        lambda narrowest, settings: f"{narrowest:.3g} at {settings.step_size}",
    )
    setup, params = planted()
    found = energy_report.report(subject_of(setup, params), "energy_after")
    # E f of the posterior less that of the short run; f of either has a variance of at
    # most ‖b‖² times 4 and 1.
    gap = TILT @ (-1 - 2 * (after(5)[0] - 3))
    error = np.linalg.norm(TILT) * (5 / NUM) ** 0.5
    assert gap < -10 * error and abs(found["energy_gap"] - gap) < 5 * error
    mean = lambda z: np.sqrt(np.mean(np.square(z)))  # noqa: E731
    for which, expected in (("long_run", 3 + TILT / 2), ("short_run", after(5)[0])):
        assert found["moments"][which]["mean"] == pytest.approx(
            mean(expected), abs=0.05
        )
    apart = mean((3 + TILT / 2 - after(5)[0]) / 0.5)
    assert found["gap_to_long_run"]["short_run"]["mean"] == pytest.approx(
        apart, abs=0.1
    )
    assert any("differ in their moments" in text for text in found["warnings"])
    # 4 in u, where the chains are.
    narrowest = found["narrowest_variance"]
    assert narrowest == pytest.approx(4, rel=5 * (2 / (NUM // 2)) ** 0.5)
    told = f"energy of energy_after: {narrowest:.3g} at {EPSILON}"
    assert told in found["warnings"]
    energy_report.picture(subject_of(setup, params), "energy_after")
    ((title, samples),) = shown.items()
    assert title == "energy_after: energy of the tilt, -f(u) + kappa |u|^2, in nats"
    assert abs(samples["reference"].mean()) < 5 * np.linalg.norm(TILT) / NUM**0.5
    assert samples["5-step draws"].mean() < -0.3


def test_steps_too_long_for_the_narrowest_axis_are_warned_of():
    """The axis (1, −1)/√2, of variance 0.02, is none of the coordinates'."""
    wide, narrow = np.random.default_rng(0).standard_normal((2, 4_000))
    u = jnp.array([wide + 0.1 * narrow, wide - 0.1 * narrow]).T
    found = energy_report._narrowest_variance(u)
    assert found == pytest.approx(2 * 0.1**2, rel=5 * (2 / 2_000) ** 0.5)
    assert energy_report._narrowest_variance(u[:, :1]) == pytest.approx(1, rel=0.16)
    z = jax.random.normal(jax.random.key(0), (2_000, 64))
    # The least eigenvalue of these has (1 − √(64 / 2,000))² = 0.67.
    assert energy_report._narrowest_variance(z) == pytest.approx(1, rel=0.23)
    assert energy_report._narrowest_variance(z[:128]) is None

    def told(step_size, kernel="ula", num_steps=60):
        settings = LangevinSettings(kernel, num_steps, step_size)
        return energy_report._step_warning(0.02, settings)

    assert told(0.0099) is None and told(0.02, "mala") is None
    assert told(0.02, num_steps=0) is None
    of_too_few = energy_report._step_warning(None, LangevinSettings("ula", 60, 0.02))
    assert of_too_few is None
    what = "no axis a variance below 0.04, and z ~ q(z|X) have one of 0.02"
    assert what in told(0.02)
    assert "expected `draw_step_size` (or `step_size`, " in told(0.02)
    assert told(0.02).endswith("below 0.01, or `kernel` 'mala'")


def test_chains_that_diverge_after_their_own_steps_are_warned_of():
    """u' = −1.1 u + …: 5 steps are within the limit, 300 are not."""
    setup, params = planted(step_size=2.1)
    inference, name = setup.method.inference, "energy_after"
    params = params | {"joint": setup.method.stages[0].init(jax.random.key(0))}
    settings = ProtocolSettings(num_prior_samples=6, batch_size=4)
    told = []
    classifiers = Classifiers(
        lambda pictures: {m: jnp.zeros(len(x), int) for m, x in pictures.items()},
        None, {}, None,
    )  # fmt: skip
    subject = subject_of(
        setup,
        params,
        held_out=HeldOut(None, None, 0, num_classes=2),
        classifiers=classifiers,
        protocol=settings,
        report=told.append,
    )
    shares, _ = energy_report.coherence_by_steps(subject, name)
    assert set(shares.values()) == {1.0}
    (warning,) = [text for text in told if "warning" in text]
    assert warning.startswith(f"warning: energy of {name}: `step_size` 2.1 of 'ula'")
    assert "6 of 6 chains diverged" in warning and warning.endswith("of 300")
    energy_report.checked_draws(inference, params, name, jax.random.key(0), 6)


def test_the_prior_is_not_drawn_a_second_time():
    """XLA drops the chain of `sample_prior`, whose shared latent nobody reads."""
    setup, params = planted()
    inference, name, key = setup.method.inference, "energy_after", jax.random.key(0)

    def num_loops(program, *args):
        static = [
            i for i, arg in enumerate(args) if not isinstance(arg, jax.Array | dict)
        ]
        lowered = jax.jit(program, static_argnums=static).lower(*args)
        return lowered.compile().as_text().count(" while(")

    def alone(params, rng_key):
        prior = energy_report.energy_priors(inference, params)[name].of_u
        chain_key, _ = jax.random.split(rng_key)
        return prior.sample_after(chain_key, 9, energy_report.STEP_NUMBERS)

    path = num_loops(energy_report._path, inference, params, name, key, 9)
    assert path == num_loops(alone, params, key) > 0


@pytest.mark.parametrize(
    ("own", "divisor", "name", "in_place"),
    [
        ("energy", "prior", "energy", "'reference' (its p_0) or 'fitted' (that of "),
        ("energy", "reference", "energy", ""),
        ("energy", "fitted", "energy", ""),
        ("energy", "fitted", "energy_after", "'prior' (the model's own)"),
        ("normal", "fitted", "energy_after", "'prior' (the model's own)"),
        ("normal", "prior", "energy_after", ""),
    ],
)
def test_another_divisor_is_offered_where_this_one_divides(
    own, divisor, name, in_place
):
    inference = planted()[0].method.inference
    if own == "energy":
        joint = dataclasses.replace(inference.joint, prior=EnergyFamily())
        inference = dataclasses.replace(inference, joint=joint)
    inference = dataclasses.replace(inference, quotient=Quotient(divisor))
    told = energy_report._other_divisors(inference, name)
    assert told.startswith(in_place) and bool(told) == bool(in_place)


def test_draws_of_chains_that_diverge_are_refused():
    def check(step_size):
        setup, params = planted(draw_step_size=step_size)
        inference, key = setup.method.inference, jax.random.key(1)
        drawn = energy_report.checked_draws(inference, params, "energy_after", key, 8)
        own = inference.sample_prior(params, key, 8, "energy_after")
        np.testing.assert_allclose(drawn, own, rtol=1e-5)

    check(0.05)
    with pytest.raises(ValueError, match=r"8 of 8 chains .* first at step \d of 5"):
        check(1e9)


def test_how_draws_are_made_is_not_of_a_checkpoints_identity():
    def identity(**options):
        setup = open_setup(**options)
        return stage_identity(setup, setup.method.stages[1], {"joint": "joint/0"})

    trained = identity()
    assert trained == identity(draw_steps=300, draw_step_size=0.01)
    assert trained != identity(num_steps=6) and trained != identity(start="persistent")
    family = open_setup().experiment.fitted_prior
    left_out = {"draw_steps", "draw_step_size"}
    names = {field.name for field in dataclasses.fields(family)}
    assert set(trained["fitted_prior"]) == names - left_out
