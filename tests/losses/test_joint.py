"""The joint objective against the linear-Gaussian model, where all of it is known."""

import functools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import linear_gaussian
from scipy import stats

from jnf_jax import losses
from jnf_jax.losses import JointModel, gaussian_kl, sampled_log_ratio, tilted_kl
from jnf_jax.priors.energy import EnergyTiltedPrior
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.sampling import LangevinSettings

joint_elbo = jax.jit(losses.joint_elbo, static_argnames=("model", "log_ratio"))
iwae_bound = jax.jit(
    losses.iwae_bound, static_argnames=("model", "num_importance_samples")
)

TRUTH = linear_gaussian({"a": 4, "b": 6, "c": 5}, latent_size=3, diagonal=True)
VIEWS = {m: jnp.asarray(x, jnp.float32) for m, x in TRUTH.sample(0, 7)[1].items()}
PRIOR = NormalPrior(3)


def decode(params, z):
    """p(x_m|z) = N(A_m z + b_m, s_m² I)."""
    del params
    return {
        m: distrax.MultivariateNormalDiag(
            z @ jnp.asarray(TRUTH.weights[m].T, jnp.float32) + TRUTH.offsets[m],
            jnp.full(len(TRUTH.offsets[m]), TRUTH.noises[m]),
        )
        for m in TRUTH.weights
    }


def encode(params, views):
    """The exact posterior, moved and widened by ``params``."""
    mean, covariance = TRUTH.posterior({m: np.asarray(x) for m, x in VIEWS.items()})
    del views
    scale = np.sqrt(np.diag(covariance))
    return distrax.MultivariateNormalDiag(
        jnp.asarray(mean, jnp.float32) + params["shift"],
        jnp.broadcast_to(jnp.asarray(scale, jnp.float32), mean.shape)
        * jnp.exp(params["log_widen"]),
    )


MODEL = JointModel(encode, decode, lambda params: PRIOR)
EXACT = {"shift": 0.0, "log_widen": 0.0}
WRONG = {"shift": 0.3, "log_widen": 0.4}
LOG_MARGINAL = TRUTH.log_marginal({m: np.asarray(x) for m, x in VIEWS.items()})


@pytest.mark.parametrize("seed", range(5))
def test_elbo_at_the_exact_posterior_is_log_p_of_x_for_every_key(seed):
    terms = joint_elbo(EXACT, jax.random.key(seed), VIEWS, model=MODEL)
    np.testing.assert_allclose(terms.objective, LOG_MARGINAL, rtol=2e-5)


def test_terms_add_up_and_carry_no_weight():
    weights = {"a": 2.0, "b": 0.5, "c": 1.0}
    key = jax.random.key(1)
    plain = joint_elbo(WRONG, key, VIEWS, model=MODEL)
    weighted = functools.partial(
        losses.joint_elbo, model=MODEL, likelihood_weights=weights, beta=2.5
    )
    plain, weighted = jax.device_get((plain, jax.jit(weighted)(WRONG, key, VIEWS)))
    for m in weights:
        np.testing.assert_array_equal(
            plain.log_likelihood[m], weighted.log_likelihood[m]
        )
    expected = sum(weights[m] * plain.log_likelihood[m] for m in weights)
    np.testing.assert_allclose(
        weighted.objective, expected - 2.5 * plain.log_ratio, rtol=1e-6
    )
    assert plain.objective.shape == (7,)


def test_elbo_falls_short_by_the_divergence_to_the_true_posterior():
    keys = jax.random.split(jax.random.key(0), 4000)

    @jax.jit
    @jax.vmap
    def objective_of(key):
        return joint_elbo(WRONG, key, VIEWS, model=MODEL).objective

    @jax.jit
    def divergence():
        return encode(WRONG, VIEWS).kl_divergence(encode(EXACT, VIEWS))

    objective = np.asarray(objective_of(keys))
    gap = LOG_MARGINAL - np.asarray(divergence())
    # Monte-Carlo standard error of each datum's mean, five of them allowed.
    error = objective.std(axis=0) / np.sqrt(len(keys))
    assert (np.abs(objective.mean(axis=0) - gap) < 5 * error).all()


def test_gaussian_kl_is_the_mean_of_the_sampled_log_ratio():

    @jax.jit
    def ask(key):
        posterior = encode(WRONG, VIEWS)
        z = posterior.sample(seed=key, sample_shape=20_000)
        standard_normal = distrax.MultivariateNormalDiag(jnp.zeros(3), jnp.ones(3))
        return (
            sampled_log_ratio(posterior, PRIOR, z),
            gaussian_kl(posterior, PRIOR, z[0]),
            posterior.kl_divergence(standard_normal),
        )

    sampled, closed, expected = jax.device_get(ask(jax.random.key(3)))
    np.testing.assert_allclose(closed, expected, rtol=1e-5)
    error = sampled.std(axis=0) / np.sqrt(len(sampled))
    assert (np.abs(sampled.mean(axis=0) - closed) < 5 * error).all()


def test_gaussian_kl_to_a_prior_of_any_scale():
    """Against scipy's normal, by E_q log q/p on a fine grid of one dimension."""
    posterior = distrax.MultivariateNormalDiag(jnp.array([[1.5]]), jnp.array([[0.7]]))
    found = gaussian_kl(posterior, NormalPrior(1, jnp.array([2.5])), jnp.zeros((1, 1)))
    z = np.linspace(-6, 9, 20_001)
    q, p = stats.norm(1.5, 0.7), stats.norm(0, 2.5)
    expected = np.sum(q.pdf(z) * (q.logpdf(z) - p.logpdf(z))) * (z[1] - z[0])
    np.testing.assert_allclose(found, [expected], rtol=1e-4)


def test_gaussian_kl_refuses_what_is_not_gaussian():
    laplace = distrax.Independent(distrax.Laplace(jnp.zeros((2, 3)), 1.0), 1)
    with pytest.raises(ValueError, match="`posterior` of gaussian_kl"):
        gaussian_kl(laplace, PRIOR, jnp.zeros((2, 3)))

    class Unnamed:
        is_normalised = True

        def log_density(self, z):
            return z.sum(-1)

        def sample(self, rng_key, num_samples):
            return jax.random.normal(rng_key, (num_samples, 3))

    with pytest.raises(ValueError, match="`prior` of gaussian_kl"):
        gaussian_kl(encode(EXACT, VIEWS), Unnamed(), jnp.zeros((7, 3)))


def test_iwae_is_a_bound_that_tightens():
    key = jax.random.key(0)
    bounds = [
        np.mean(iwae_bound(WRONG, key, VIEWS, model=MODEL, num_importance_samples=k))
        for k in (1, 10, 1000)
    ]
    assert bounds == sorted(bounds)
    assert bounds[0] < LOG_MARGINAL.mean() - 0.1
    # At K = 1,000 the bound is below by about var(w) / 2K, and noisy by sd / √(7 K).
    assert abs(bounds[-1] - LOG_MARGINAL.mean()) < 0.05


def test_iwae_at_the_exact_posterior_is_log_p_of_x():
    bound = iwae_bound(
        EXACT, jax.random.key(0), VIEWS, model=MODEL, num_importance_samples=3
    )
    np.testing.assert_allclose(bound, LOG_MARGINAL, rtol=2e-5)


def test_order_of_modalities_and_batch_does_not_matter():
    def objective(views):  # as a constant: jit would sort the names of an argument
        ask = lambda key: losses.joint_elbo(WRONG, key, views, model=MODEL)  # noqa: E731
        return jax.jit(ask)(jax.random.key(0)).objective

    backwards = dict(reversed(VIEWS.items()))
    np.testing.assert_array_equal(objective(VIEWS), objective(backwards))


def test_one_trace_over_many_steps():
    traces = []

    def counted(params, z):
        traces.append(None)
        return decode(params, z)

    model = JointModel(encode, counted, lambda params: PRIOR)
    for seed in range(5):
        joint_elbo(
            WRONG, jax.random.key(seed), VIEWS, model=model, log_ratio=gaussian_kl
        )
    assert len(traces) == 1


@pytest.mark.parametrize("weights", [{"a": 1.0}, dict.fromkeys("abcd", 1.0)])
def test_wrong_likelihood_weights_are_refused(weights):
    weighted = functools.partial(
        losses.joint_elbo, model=MODEL, likelihood_weights=weights
    )
    with pytest.raises(ValueError, match="likelihood_weights.*expected"):
        jax.eval_shape(weighted, EXACT, jax.random.key(0), VIEWS)


def test_no_importance_sample_is_refused():
    with pytest.raises(ValueError, match="num_importance_samples.*at least 1, got 0"):
        iwae_bound(
            EXACT, jax.random.key(0), VIEWS, model=MODEL, num_importance_samples=0
        )


def test_losses_also_run_under_pmap():
    loss = jax.pmap(
        lambda params, key, views: (
            joint_elbo(params, key, views, model=MODEL).objective
        ),
        in_axes=(None, 0, 0),
    )
    stacked = jax.tree.map(lambda x: x[None], VIEWS)
    out = loss(EXACT, jax.random.split(jax.random.key(0), 1), stacked)
    np.testing.assert_allclose(out[0], LOG_MARGINAL, rtol=2e-5)


def test_kl_to_a_tilted_gaussian_is_that_to_the_gaussian_it_is():
    slope = jnp.array([0.5, -1.0, 2.0])
    mean, scale = jnp.array([0.3, 1.0, -2.0]), jnp.array([0.1, 1.0, 3.0])

    @jax.jit
    def ask(key):
        posterior = distrax.MultivariateNormalDiag(
            *(jnp.tile(x, (4_000, 1)) for x in (mean, scale))
        )
        tilted = EnergyTiltedPrior(lambda z: z @ slope, PRIOR, LangevinSettings())
        z = posterior.sample(seed=key)
        # exp(b·z) N(0, I) is N(b, I) up to Z = exp(½‖b‖²).
        log_z = 0.5 * jnp.sum(slope**2)
        shifted = distrax.MultivariateNormalDiag(slope, jnp.ones(3))
        return (
            posterior.kl_divergence(shifted),
            # A linear tilt's expectation is its value at the mean.
            tilted_kl(posterior, tilted, posterior.mean()) + log_z,
            sampled_log_ratio(posterior, tilted, z) - tilted_kl(posterior, tilted, z),
        )

    exact, at_mean, difference = jax.device_get(ask(jax.random.key(0)))
    np.testing.assert_allclose(at_mean, exact, rtol=1e-5)
    # The same expectation: 4 standard errors of the difference.
    error = difference.std() / np.sqrt(len(difference))
    assert abs(difference.mean()) < 4 * error


def test_a_row_that_lacks_views_is_bounded_by_log_p_of_those_it_has():
    has = {"a": [True, True, False], "b": [True, False, True], "c": [True, True, True]}
    present = {m: jnp.asarray(of, bool) for m, of in has.items()}
    rows = {m: np.asarray(x[:3]) for m, x in VIEWS.items()}
    given = [{m: rows[m][i : i + 1] for m in rows if has[m][i]} for i in range(3)]
    exact = [TRUTH.posterior(views) for views in given]
    mean = jnp.asarray(np.concatenate([mean for mean, _ in exact]), jnp.float32)
    # The weights are orthogonal: no posterior has correlations.
    scale = jnp.asarray([np.sqrt(np.diag(c)) for _, c in exact], jnp.float32)

    def encode(params, views, present):
        hidden = sum(jnp.sum(jnp.abs(x[~present[m]])) for m, x in views.items())
        return distrax.MultivariateNormalDiag(mean + params + hidden, scale)

    hole = {m: jnp.where(present[m][:, None], x, jnp.nan) for m, x in rows.items()}
    model = JointModel(encode, decode, lambda params: PRIOR)
    terms = losses.joint_elbo(
        0.0, jax.random.key(0), hole, model=model, present=present
    )
    expected = [TRUTH.log_marginal(views)[0] for views in given]
    np.testing.assert_allclose(terms.objective, expected, rtol=2e-5)
    assert terms.log_likelihood["a"][2] == terms.log_likelihood["b"][1] == 0

    def total(shift):
        ask = losses.joint_elbo(
            shift, jax.random.key(0), hole, model=model, present=present
        )
        return jnp.sum(ask.objective)

    assert np.isfinite(jax.grad(total)(0.1))
