"""MMVAE+'s objective against models where all of it is known."""

import functools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import linear_gaussian

from jnf_jax.losses import (
    Expert,
    JointModel,
    MixtureModel,
    energy_contrast,
    joint_elbo,
    mmvae_plus,
)
from jnf_jax.priors.laplace import LaplacePrior
from jnf_jax.priors.mixture import MixturePrior
from jnf_jax.priors.normal import NormalPrior

TRUTH = linear_gaussian({"a": 4, "b": 6, "c": 5}, latent_size=3, diagonal=True)
VIEWS = {m: jnp.asarray(x, jnp.float32) for m, x in TRUTH.sample(0, 7)[1].items()}
LOG_MARGINAL = TRUTH.log_marginal({m: np.asarray(x) for m, x in VIEWS.items()})
PRIOR, PRIVATE = NormalPrior(3), LaplacePrior(2)

WEIGHTS = {"a": 2.0, "b": 0.5, "c": 1.0}


def normal(mean, scale):
    return distrax.MultivariateNormalDiag(mean, jnp.broadcast_to(scale, mean.shape))


def laplace(mean, scale):
    return distrax.Independent(distrax.Laplace(mean, jnp.full_like(mean, scale)), 1)


def decode(params, latent):
    """p(x_m|z, w_m) = N(A_m z + b_m + the sum of w_m, s_m² I); the sum only if told."""
    return {
        m: normal(
            latent.shared @ jnp.asarray(TRUTH.weights[m].T, jnp.float32)
            + TRUTH.offsets[m]
            + params["private"] * latent.private[m].sum(-1, keepdims=True),
            TRUTH.noises[m],
        )
        for m in TRUTH.weights
    }


def encode(params, views):
    """Each expert is the exact p(z|X), moved and widened; q(w|x_m) is Laplace."""
    mean, covariance = TRUTH.posterior({m: np.asarray(x) for m, x in VIEWS.items()})
    scale = jnp.asarray(np.sqrt(np.diag(covariance)), jnp.float32)
    mean = jnp.asarray(mean, jnp.float32)
    return {
        m: Expert(
            normal(mean + shift, scale * jnp.exp(params["log_widen"])),
            laplace(jnp.full((7, 2), params["own"][m]), params["own_scale"]),
        )
        for m, shift in zip(views, params["shift"], strict=True)
    }


def auxiliary(params):
    return {m: LaplacePrior(2, params["auxiliary"][m]) for m in sorted(TRUTH.weights)}


MODEL = MixtureModel(encode, decode, lambda params: PRIOR, PRIVATE, auxiliary)
EXACT = {
    "shift": jnp.zeros(3), "log_widen": 0.0, "private": 0.0, "own_scale": 1.0,
    "own": dict.fromkeys("abc", 0.0), "auxiliary": dict.fromkeys("abc", jnp.ones(2)),
}  # fmt: skip
WRONG = EXACT | {"shift": jnp.array([0.5, -0.3, 0.0]), "log_widen": 0.4}
PRIVATELY = WRONG | {
    "private": 0.7,
    "own": {"a": 3.0, "b": -2.0, "c": 1.0},
    "own_scale": 0.2,
    "auxiliary": {"a": jnp.full(2, 0.1), "b": jnp.full(2, 4.0), "c": jnp.ones(2)},
}


@functools.partial(jax.jit, static_argnames=("num_importance_samples", "weighted"))
def terms_and_latent(
    params, rng_key, num_importance_samples=1, weighted=False, present=None
):
    """The objective's terms, and what it decoded."""
    seen = []
    options = dict(likelihood_weights=WEIGHTS, beta=2.5) if weighted else {}

    def spy(params, latent):
        seen.append(latent)
        return decode(params, latent)

    model = MixtureModel(encode, spy, lambda params: PRIOR, PRIVATE, auxiliary)
    terms = mmvae_plus(
        params, rng_key, VIEWS, model=model,
        num_importance_samples=num_importance_samples, present=present, **options,
    )  # fmt: skip
    return terms, seen[0]


@pytest.mark.parametrize("num_samples", [1, 5])
def test_exact_experts_give_log_p_of_x_for_every_key(num_samples):
    for seed in range(3):
        terms, _ = terms_and_latent(
            EXACT, jax.random.key(seed), num_importance_samples=num_samples
        )
        np.testing.assert_allclose(terms.objective, LOG_MARGINAL, rtol=2e-5)
        assert terms.z.shape == (3, num_samples, 7, 3)
        np.testing.assert_allclose(terms.weights.sum(1), 1 / 3, rtol=1e-5)


def test_one_expert_with_an_exact_private_latent_gives_log_p_of_x_for_every_key():
    """x = A (z, w) + b + s ξ with orthogonal columns: p(z, w|x) factorises."""
    truth = linear_gaussian({"a": 6}, latent_size=5, seed=3, diagonal=True)
    views = truth.sample(1, 4)[1]
    mean, covariance = truth.posterior(views)
    scale = jnp.asarray(np.sqrt(np.diag(covariance)), jnp.float32)
    exact = Expert(
        normal(jnp.asarray(mean[:, :3], jnp.float32), scale[:3]),
        normal(jnp.asarray(mean[:, 3:], jnp.float32), scale[3:]),
    )

    def decode(params, latent):
        both = jnp.concatenate([latent.shared, latent.private["a"]], axis=-1)
        a = jnp.asarray(truth.weights["a"], jnp.float32)
        return {"a": normal(both @ a.T + truth.offsets["a"], truth.noises["a"])}

    model = MixtureModel(
        lambda params, views: {"a": exact}, decode, lambda params: NormalPrior(3),
        NormalPrior(2), lambda params: {"a": LaplacePrior(2, 9.0)},
    )  # fmt: skip

    @jax.jit
    def bound(rng_key):
        x = {"a": jnp.asarray(views["a"], jnp.float32)}
        return mmvae_plus(
            None, rng_key, x, model=model, num_importance_samples=2
        ).objective

    for seed in range(3):
        np.testing.assert_allclose(
            bound(jax.random.key(seed)), truth.log_marginal(views), rtol=2e-5
        )


def test_one_expert_one_draw_no_private_latent_is_the_elbo():
    views = {"a": VIEWS["a"]}
    posterior = encode(WRONG, VIEWS)["a"].shared
    nothing = laplace(jnp.zeros((7, 0)), 1.0)

    def decode_a(params, z):
        a = jnp.asarray(TRUTH.weights["a"].T, jnp.float32)
        return {"a": normal(z @ a + TRUTH.offsets["a"], TRUTH.noises["a"])}

    model = MixtureModel(
        lambda params, views: {"a": Expert(posterior, nothing)},
        lambda params, latent: decode_a(params, latent.shared),
        lambda params: PRIOR, LaplacePrior(0), lambda params: {"a": LaplacePrior(0)},
    )  # fmt: skip
    options = dict(likelihood_weights={"a": 0.3}, beta=2.5)

    @jax.jit
    def both():
        key = jax.random.key(0)
        terms = mmvae_plus(None, key, views, model=model, **options)

        class SameDraw(distrax.MultivariateNormalDiag):
            def _sample_n(self, key, n):
                return jnp.broadcast_to(terms.z[0, 0], (n, 7, 3))

        same = SameDraw(posterior.loc, posterior.scale_diag)
        joint = JointModel(lambda params, views: same, decode_a, lambda params: PRIOR)
        return terms, joint_elbo(None, key, views, model=joint, **options)

    terms, elbo = both()
    np.testing.assert_allclose(terms.objective, elbo.objective, rtol=1e-6)
    np.testing.assert_allclose(terms.log_ratio, elbo.log_ratio, rtol=1e-5)
    np.testing.assert_allclose(
        terms.log_likelihood["a"], elbo.log_likelihood["a"], rtol=1e-6
    )


@pytest.mark.parametrize("members", [["abc"] * 7, ["abc", "ab", "c", "", *["bc"] * 3]])
def test_it_is_the_equation_written_out(members):
    """In NumPy, datum by datum and expert by expert, from the draws it decoded.

    A row that has some views alone is one of a model of these views.
    """
    num, present = 5, None
    if set(members) != {"abc"}:
        present = {m: jnp.array([m in of for of in members]) for m in "abc"}
    terms, latent = terms_and_latent(
        PRIVATELY, jax.random.key(0), num, weighted=True, present=present
    )
    latent = jax.tree.map(np.asarray, latent)
    z = latent.shared.reshape(7, 3, num, 3)
    w = {m: value.reshape(7, 3, num, 2) for m, value in latent.private.items()}
    mean, covariance = TRUTH.posterior({m: np.asarray(x) for m, x in VIEWS.items()})
    scale = np.sqrt(np.diag(covariance)) * np.exp(PRIVATELY["log_widen"])

    def log_normal(x, mean, scale):
        terms = ((x - mean) / scale) ** 2 + 2 * np.log(scale) + np.log(2 * np.pi)
        return -0.5 * np.sum(terms + np.zeros_like(x), axis=-1)

    def log_laplace(x, mean, scale):
        return -np.sum(np.abs(x - mean) / scale + np.log(2 * scale), axis=-1)

    expected = np.zeros(7)
    for i in range(7):
        for m, expert in enumerate("abc"):
            if expert not in members[i]:
                continue
            at, own = z[i, m], w[expert][i, m]
            shifts = np.asarray(PRIVATELY["shift"])
            q = [
                np.exp(log_normal(at, mean[i] + shifts["abc".index(n)], scale))
                for n in members[i]
            ]
            q_own = log_laplace(own, PRIVATELY["own"][expert], PRIVATELY["own_scale"])
            log_weight = 2.5 * (
                log_normal(at, 0.0, 1.0) - np.log(np.mean(q, axis=0))
                + log_laplace(own, 0.0, 1.0) - q_own
            )  # fmt: skip
            for n in members[i]:
                centre = at @ TRUTH.weights[n].T + TRUTH.offsets[n]
                centre += PRIVATELY["private"] * w[n][i, m].sum(-1, keepdims=True)
                log_p = log_normal(np.asarray(VIEWS[n][i]), centre, TRUTH.noises[n])
                log_weight += WEIGHTS[n] * log_p
            mean_weight = np.mean(np.exp(log_weight - log_weight.max()))
            bound = np.log(mean_weight) + log_weight.max()
            expected[i] += bound / len(members[i])
    np.testing.assert_allclose(terms.objective, expected, rtol=1e-4)
    # Each expert that a row has is worth as much as the others, all together 1.
    shares = [[(m in of) / max(len(of), 1) for of in members] for m in "abc"]
    np.testing.assert_allclose(terms.weights.sum(1), shares, rtol=1e-5)


def test_more_draws_tighten_the_bound():
    keys = jax.random.split(jax.random.key(0), 300)
    bound = {
        k: np.array([terms_and_latent(WRONG, key, k)[0].objective for key in keys])
        for k in (1, 5)
    }
    mean = {k: value.mean() for k, value in bound.items()}
    error = {k: value.mean(1).std() / len(keys) ** 0.5 for k, value in bound.items()}
    assert mean[5] - mean[1] > 5 * (error[1] ** 2 + error[5] ** 2) ** 0.5
    # Below log p(X) for any K: experts that differ are averaged outside the logarithm.
    assert mean[5] < LOG_MARGINAL.mean() - 5 * error[5]


def test_missing_private_latents_are_draws_of_the_auxiliary_prior():
    keys = jax.random.split(jax.random.key(0), 200)
    drawn = [terms_and_latent(PRIVATELY, key, 5)[1].private for key in keys]
    for n, name in enumerate("abc"):
        w = np.array([private[name] for private in drawn]).reshape(-1, 3, 5, 2)
        for m in range(3):
            is_own = m == n
            mean = PRIVATELY["own"][name] if is_own else 0.0
            scale = PRIVATELY["own_scale"] if is_own else PRIVATELY["auxiliary"][name]
            # E|w − mean| of a Laplace is its scale, with standard deviation the same;
            # 5 standard errors of 7,000 draws.
            deviation = np.abs(w[:, m] - mean).mean((0, 1))
            np.testing.assert_allclose(deviation, scale, rtol=5 / 7_000**0.5)


def test_auxiliary_priors_learn_only_from_experts_of_other_modalities():
    def loss(params, of):
        def only(params, latent):
            decoded = decode(params, latent)
            # All but the rows of expert ``of`` are constants of the parameters.
            rows = jnp.arange(len(latent.shared)) % 3 == of
            keep = lambda a: jnp.where(rows[:, None], a, jax.lax.stop_gradient(a))  # noqa: E731
            return {m: normal(keep(p.loc), p.scale_diag) for m, p in decoded.items()}

        model = MixtureModel(encode, only, lambda params: PRIOR, PRIVATE, auxiliary)
        terms = mmvae_plus(params, jax.random.key(0), VIEWS, model=model)
        return sum(value.sum() for value in terms.log_likelihood.values())

    differentiate = jax.jit(jax.grad(loss))
    for of, expert in enumerate("abc"):
        gradient = differentiate(PRIVATELY, of)
        for m in "abc":
            learns_auxiliary = np.abs(gradient["auxiliary"][m]).max() > 0
            learns_own = np.abs(gradient["own"][m]) > 0
            assert (learns_auxiliary, learns_own) == (m != expert, m == expert)


def test_order_of_modalities_does_not_matter():
    def backward_encode(params, views):
        return dict(reversed(encode(params, dict(sorted(views.items()))).items()))

    def backward_decode(params, latent):
        return dict(reversed(decode(params, latent).items()))

    model = MixtureModel(
        backward_encode, backward_decode, lambda params: PRIOR, PRIVATE,
        lambda params: dict(reversed(auxiliary(params).items())),
    )  # fmt: skip
    key = jax.random.key(0)
    forward, _ = terms_and_latent(PRIVATELY, key)
    views = dict(reversed(VIEWS.items()))
    backward = jax.jit(mmvae_plus, static_argnames="model")(
        PRIVATELY, key, views, model=model
    )
    jax.tree.map(np.testing.assert_array_equal, forward, backward)


class Responsible:
    """CMVAE's bound of log p(z): Σ_c q(c|z) [log π_c + log p(z|c) − log q(c|z)]."""

    is_normalised = True

    def __init__(self, mixture):
        self.mixture = mixture

    def log_density(self, z):
        terms = self.mixture.component_log_densities(z)
        log_q = jax.nn.log_softmax(terms)
        return jnp.sum(jnp.exp(log_q) * (terms - log_q), axis=-1)

    def sample(self, rng_key, num_samples):
        return self.mixture.sample(rng_key, num_samples)


def test_a_mixture_prior_makes_it_cmvae():
    rng = np.random.default_rng(0)
    params = PRIVATELY | {
        "logits": jnp.asarray(rng.normal(size=4), jnp.float32),
        "means": jnp.asarray(rng.normal(size=(4, 3)), jnp.float32),
    }

    def loss(params, wrap):
        def prior(params):
            mixture = MixturePrior(
                params["logits"], params["means"], jnp.ones((4, 3)), kind="laplace"
            )
            return wrap(mixture)

        model = MixtureModel(encode, decode, prior, PRIVATE, auxiliary)
        terms = mmvae_plus(
            params, jax.random.key(0), VIEWS, model=model, num_importance_samples=3,
            beta=2.5,
        )  # fmt: skip
        return terms.objective.mean()

    both = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    ours, ours_gradient = both(params, lambda mixture: mixture)
    cmvae, cmvae_gradient = both(params, Responsible)
    np.testing.assert_allclose(ours, cmvae, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5),
        ours_gradient,
        cmvae_gradient,
    )


def test_weighted_contrast_is_the_gradient_of_the_normalised_bound():
    """f = −½ Σ a z² + Σ b z tilts N(0, I) to N(b/(1+a), 1/(1+a)), and log Z is known.

    The gradient of f is linear in (z, z²): two negatives a standard deviation either
    side of the mean have the exact moments, so nothing here is Monte-Carlo.
    """
    alpha = {"a": jnp.array([0.5, 2.0, 0.1]), "b": jnp.array([1.0, -2.0, 0.3])}

    def tilt(alpha, z):
        return jnp.sum(-0.5 * alpha["a"] * z**2 + alpha["b"] * z, axis=-1)

    class Tilted(NormalPrior):
        def __init__(self, alpha):
            super().__init__(3)
            object.__setattr__(self, "alpha", alpha)

        def log_density(self, z):
            a, b = self.alpha["a"], self.alpha["b"]
            log_z = jnp.sum(-0.5 * jnp.log1p(a) + b**2 / (2 * (1 + a)))
            return super().log_density(z) + tilt(self.alpha, z) - log_z

    @jax.jit
    def terms(alpha):
        model = MixtureModel(encode, decode, lambda params: Tilted(alpha), PRIVATE,
                             auxiliary)  # fmt: skip
        return mmvae_plus(
            PRIVATELY, jax.random.key(0), VIEWS, model=model,
            num_importance_samples=3,
        )  # fmt: skip

    exact = jax.jit(jax.grad(lambda alpha: -terms(alpha).objective.mean()))(alpha)
    a, b = (np.asarray(alpha[name]) for name in "ab")
    mean, sd = b / (1 + a), (1 + a) ** -0.5
    drawn = jax.device_get(terms(alpha))
    contrast_of = jax.jit(jax.grad(energy_contrast), static_argnames="tilt")
    contrast = contrast_of(
        alpha,
        drawn.z.reshape(-1, 3),
        np.stack([mean - sd, mean + sd]),
        tilt=tilt,
        weights=drawn.weights.reshape(-1) / 7,
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), contrast, exact
    )
    # With several draws a plain mean over them is another gradient.
    plain = contrast_of(
        alpha, drawn.z.reshape(-1, 3), np.stack([mean - sd, mean + sd]), tilt=tilt
    )
    assert not np.allclose(plain["b"], exact["b"], rtol=1e-2)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"num_importance_samples": 0}, "num_importance_samples.*1, got 0"),
        ({}, {"likelihood_weights": {"a": 1.0}}, "likelihood_weights.*expected"),
        (
            {"encode": lambda params, views: {"a": None}},
            {},
            r"`model.encode` gives \['a'\], expected \['a', 'b', 'c'\]",
        ),
        (
            {"auxiliary_priors": lambda params: {"d": None}},
            {},
            r"`model.auxiliary_priors` gives \['d'\], expected",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes, options, message):
    fields = vars(MODEL) | changes
    objective = functools.partial(mmvae_plus, model=MixtureModel(**fields), **options)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(objective, EXACT, jax.random.key(0), VIEWS)
