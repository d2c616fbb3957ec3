"""Likelihoods of the linear-Gaussian model, against its closed form."""

import dataclasses
import functools
from typing import ClassVar

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bare_inference import BareInference
from oracles import linear_gaussian
from scipy.stats import multivariate_normal

from jnf_jax import options
from jnf_jax.evaluation.measures import likelihood
from jnf_jax.evaluation.measures.likelihood import LEAST_ESS, Settings
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.subject import HeldOut, Subject
from jnf_jax.methods.method import propose_from
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.sampling import LogNormaliser

TRUTH = linear_gaussian({"a": 2, "b": 3, "c": 2}, 2, seed=3)
NAMES = tuple(sorted(TRUTH.weights))
NUM = 60
_, VIEWS = TRUTH.sample(seed=4, num=NUM)
SHIFT, WIDENING = 3.5, 2.0


@dataclasses.dataclass(frozen=True)
class Shifted:
    """N(0, I) whose density misses a constant."""

    size: int
    is_normalised: ClassVar[bool] = False

    def log_density(self, z):
        return NormalPrior(self.size).log_density(z) + SHIFT

    def sample(self, rng_key, num_samples):
        return NormalPrior(self.size).sample(rng_key, num_samples)

    def log_normaliser(self, rng_key, *, num_chains, num_temperatures):
        return None


class Estimated(Shifted):
    """The constant is known, as if from chains."""

    def log_normaliser(self, rng_key, *, num_chains, num_temperatures):
        return LogNormaliser(*map(jnp.asarray, (SHIFT, 0.1, 200.0)))


class Nowhere(NormalPrior):
    """No z has a finite density."""

    def log_density(self, z):
        return super().log_density(z) * jnp.nan


class Exact(BareInference):
    """All posteriors are those of ``TRUTH``, widened by a factor; linear decoders."""

    modalities = NAMES
    prior_names = ("normal",)

    def __init__(self, widening=1.0, prior=NormalPrior):
        self.widening, self.prior = widening, prior(2)

    def posterior(self, views, subset):
        covariance = np.linalg.inv(TRUTH.precision(subset))
        mean = sum(
            (views[m] - TRUTH.offsets[m]) @ TRUTH.weights[m] / TRUTH.noises[m] ** 2
            for m in subset
        )
        factor = np.linalg.cholesky(covariance) * self.widening
        return distrax.MultivariateNormalTri(mean @ covariance, jnp.asarray(factor))

    def propose(self, params, rng_key, views, subset, num_samples):
        is_known = len(subset) in (1, len(self.modalities))
        of = [subset] if is_known else [(m,) for m in subset]
        posteriors = [self.posterior(views, given) for given in of]
        return propose_from(posteriors, self.prior, rng_key, num_samples)

    def infer(self, params, rng_key, views, subset, step_size=None):
        assert step_size == 0.5 and set(views) == set(subset)
        return self._draw(rng_key, views, subset), None

    @functools.partial(jax.jit, static_argnums=(0, 3))
    def _draw(self, rng_key, views, subset):
        return self.posterior(views, subset).sample(seed=rng_key)

    def decode(self, params, z):
        return {
            m: distrax.MultivariateNormalDiag(
                z @ TRUTH.weights[m].T + TRUTH.offsets[m],
                jnp.full((len(z), len(TRUTH.offsets[m])), TRUTH.noises[m]),
            )
            for m in self.modalities
        }

    def adapt(self, params, rng_key, views, subset):
        return jnp.asarray(0.5)

    def sample_prior(self, params, rng_key, num_samples, name=None):
        return self.prior.sample(rng_key, num_samples)

    def prior_of(self, params, name):
        return self.prior


known = functools.cache(Exact)  # one object, one set of programs
FEW = Settings(400, 50, num_tuples=30, num_conditional_tuples=30, num_decoded=12_000)
ARRAYS = {m: jnp.asarray(x, jnp.float32) for m, x in VIEWS.items()}
HELD_OUT = HeldOut(ARRAYS, lambda a, rows: {m: x[rows] for m, x in a.items()}, NUM)


def measure(inference, settings, **options):
    protocol = ProtocolSettings(batch_size=30, num_diagnostic_data=2)
    subject = Subject(inference, {}, None, HELD_OUT, None, protocol, **options)
    return likelihood.measure(subject, settings)


def exact(given):
    """Mean log p of each other given these: {t: nats}."""

    def log_p(*names):
        return TRUTH.log_marginal({m: VIEWS[m] for m in names}).mean()

    return {t: log_p(*given, t) - log_p(*given) for t in NAMES if t not in given}


def of_widened(given, target, widening):
    """Mean of log ∫ q(z|x_S) p(x_t|z) dz, q as wide as ``Exact`` makes it."""
    mean, covariance = TRUTH.posterior({m: VIEWS[m] for m in given})
    a, noise = TRUTH.weights[target], TRUTH.noises[target] ** 2
    residual = VIEWS[target] - mean @ a.T - TRUTH.offsets[target]
    total = widening**2 * a @ covariance @ a.T + noise * np.eye(len(a))
    return multivariate_normal(cov=total).logpdf(residual).mean()


@pytest.fixture(scope="module")
def with_exact_posteriors():
    settings = Settings(4_000, 4_000, num_conditional_tuples=0, num_decoded=30_000)
    return measure(Exact(), settings)


@pytest.fixture(scope="module")
def with_wider_posteriors():
    settings = Settings(
        4_000, 4_000, num_tuples=40, num_conditional_tuples=0, num_decoded=30_000
    )
    return measure(Exact(WIDENING), settings)


def test_with_the_exact_posterior_every_draw_is_exact(with_exact_posteriors):
    """All weights are equal: any K gives log p(X), and the ESS is K."""
    joint, truth = with_exact_posteriors["joint"], TRUTH.log_marginal(VIEWS)
    assert joint["log_prob"] == pytest.approx(truth.mean(), abs=1e-3)
    error = truth.std(ddof=1) / np.sqrt(NUM)
    assert joint["standard_error"] == pytest.approx(error, rel=1e-3)
    assert joint["ess_min"] == pytest.approx(4_000, rel=1e-3)
    assert joint["num_tuples"] == NUM


def test_with_a_wider_posterior_many_draws_find_it_too(with_wider_posteriors):
    """On the first of the tuples."""
    found = with_wider_posteriors["joint"]
    truth = TRUTH.log_marginal(VIEWS)[:40].mean()
    # K / ESS − 1 is the weights' relative variance, over K that of the mean weight;
    # 40 tuples: 5 standard errors, and ½ variance of bias.
    variance = (4_000 / found["ess_median"] - 1) / 4_000
    assert 400 < found["ess_median"] < 3_600 and found["num_tuples"] == 40
    assert abs(found["log_prob"] - truth) < 5 * np.sqrt(variance / 40) + variance


def test_conditionals_by_both_estimators(with_exact_posteriors):
    """With exact posteriors (a) and (b) estimate the same log p(x_t|x_S)."""
    found = with_exact_posteriors
    for name, means in found["conditional_by_subset"].items():
        truth = exact(tuple(name.split("+")))
        for estimator in ("a", "b"):
            assert set(means[estimator]) == set(truth)
            for t, value in means[estimator].items():
                # The relative sd of p(x_t|z) over z is below 3 here; 4,000 draws of
                # 60 tuples: se 3 / √240,000 = 0.006, bias below 9 / 8,000.
                assert value == pytest.approx(truth[t], abs=0.03)
    by_size = found["conditional"]
    assert set(by_size) == {"1", "2"}
    of_each = {f"{what}_{key}" for what in ("standard_error", "ess") for key in "ab"}
    assert set(by_size["2"]) == {"a", "b", "ess_given"} | of_each
    expected = np.mean([found["conditional_by_subset"][s]["a"]["c"] for s in "ab"])
    assert by_size["1"]["a"]["c"] == pytest.approx(expected)


def test_errors_are_those_over_tuples(with_exact_posteriors):
    """Of a size: of each tuple's mean over subsets, whose errors are not apart."""
    found = with_exact_posteriors
    log_p = {
        g: TRUTH.log_marginal({m: VIEWS[m] for m in g}) for g in "a b ac bc".split()
    }
    each = {g: log_p[f"{g}c"] - log_p[g] for g in "ab"}
    expected = {g: x.std(ddof=1) / NUM**0.5 for g, x in each.items()}
    expected["1"] = np.mean([*each.values()], axis=0).std(ddof=1) / NUM**0.5
    assert abs(expected["1"] / np.mean([expected["a"], expected["b"]]) - 1) > 0.02
    for name, error in expected.items():
        means = found["conditional" if name == "1" else "conditional_by_subset"][name]
        for estimator in "ab":
            got = means[f"standard_error_{estimator}"]["c"]
            # Draws add up to 3 / √4,000 to each tuple's own spread of about 1.
            assert got == pytest.approx(error, rel=0.01)


def test_a_has_one_number_of_draws_and_b_its_own():
    found = measure(known(1.0), FEW)
    for name, means in found["conditional_by_subset"].items():
        assert all(1 <= ess <= 50 for ess in means["ess_a"].values())
        assert max(means["ess_b"].values()) > 50
        if "+" in name:  # the mixture of two exact posteriors is not that given both
            assert 50 < means["ess_given"] < 390
        else:  # all weights of p(x_j) are equal
            assert means["ess_given"] == pytest.approx(400, rel=1e-3)


def test_effective_numbers_of_draws_are_those_of_the_weights(with_exact_posteriors):
    """(E w)² / E w², w = p(x_t|z), z ~ q(z|x_S): N² is a number times a narrower N."""
    for name, means in with_exact_posteriors["conditional_by_subset"].items():
        given = tuple(name.split("+"))
        mean, covariance = TRUTH.posterior({m: VIEWS[m] for m in given})
        for t, got in means["ess_a"].items():
            a, noise = TRUTH.weights[t], TRUTH.noises[t] ** 2 * np.eye(len(VIEWS[t][0]))
            residual = VIEWS[t] - mean @ a.T - TRUTH.offsets[t]
            spread = a @ covariance @ a.T
            first = multivariate_normal(cov=spread + noise).logpdf(residual)
            second = multivariate_normal(cov=spread + noise / 2).logpdf(residual)
            second -= np.linalg.slogdet(4 * np.pi * noise)[1] / 2
            expected = 4_000 * np.median(np.exp(2 * first - second))
            assert got == pytest.approx(expected, rel=0.15)


def test_a_is_of_the_proposal_and_b_of_the_model(with_wider_posteriors):
    for name, means in with_wider_posteriors["conditional_by_subset"].items():
        given = tuple(name.split("+"))
        truth = exact(given)
        for t in truth:
            # The relative variance of p(x_t|z) is 20 at most on average: 4,000 draws
            # of 60 tuples have se 0.009, bias 20 / 8,000.
            of_q = of_widened(given, t, WIDENING)
            assert means["a"][t] == pytest.approx(of_q, abs=0.05)
            assert means["b"][t] == pytest.approx(truth[t], abs=0.05)
    differ = [
        of_widened((g,), t, WIDENING) - value
        for g in NAMES
        for t, value in exact((g,)).items()
    ]
    assert max(map(abs, differ)) > 0.3  # the two can be told apart


@pytest.mark.parametrize(("widening", "is_told"), [(1.0, False), (30.0, True)])
def test_a_bound_on_few_weights_is_told_of(widening, is_told):
    lines = []
    found = measure(known(widening), FEW, report=lines.append)
    few = {"log p(X)": found["joint"]["ess_median"]}
    for name, means in found["conditional_by_subset"].items():
        few[f"(b) given {name.replace('+', ', ')}"] = means["ess_given"]
    assert (few["log p(X)"] < LEAST_ESS) == is_told
    told = [
        f"{what} rests on {ess:.3g} weights (median), expected >= 10: it is not to be "
        "believed"
        for what, ess in few.items()
        if ess < LEAST_ESS
    ]
    assert found["warnings"] == told
    assert [f"warning: {line}" for line in told] == lines[-len(told) or len(lines) :]


def test_few_draws_and_bounds_that_are_not_finite_are_told_of_too():
    few = measure(Exact(), Settings(4, 1, 30, 30, num_decoded=120))
    assert "log p(X) rests on 4 weights (median), expected" in few["warnings"][0]
    inference = Exact(prior=Nowhere)
    inference.modalities = ("a", "b")
    told = measure(inference, Settings(4, 1, 30, 30, num_decoded=120))
    assert told["joint"]["log_prob"] is None
    assert "log p(X) is not finite, expected >= 10" in told["warnings"][0]


def test_a_prior_without_its_constant_is_no_likelihood():
    settings = Settings(2, 1, num_tuples=30, num_conditional_tuples=30, num_decoded=60)
    inference = Exact(prior=Shifted)
    inference.modalities = ("a", "b")
    with pytest.raises(
        ValueError, match="log Z of .* is unknown, .* expected a normalised"
    ):
        measure(inference, settings)
    inference.prior = Estimated(2)
    found = measure(inference, settings)["joint"]
    truth = TRUTH.log_marginal({m: VIEWS[m][:30] for m in "ab"}).mean()
    assert found["log_prob"] == pytest.approx(truth, abs=1e-3)
    assert found["log_normaliser"] == pytest.approx(
        {"value": SHIFT, "standard_error": 0.1, "ess": 200.0}
    )


def test_settings_of_no_use():
    bad = Settings(num_importance_samples=0, num_decoded=0)
    assert options.faults(bad, "e.l") == [
        "`e.l.num_importance_samples` is 0, expected >= 1",
        "`e.l.num_decoded` is 0, expected >= 1",
    ]
