"""MVAE, MMVAE, mmJSD, MoPoE, MVTCAE against their equations written out in NumPy.

One draw of noise ξ stands for every sample, z = μ + σ ξ, so that nothing here is
Monte-Carlo unless it says so. Oracles walk datum by datum over the views that a row
has, in float64.
"""

import functools
import itertools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import linear_gaussian

from jnf_jax.losses import (
    AggregateModel,
    Expert,
    JointModel,
    MixtureModel,
    gaussian_kl,
    joint_elbo,
    mmjsd,
    mmvae,
    mmvae_plus,
    mopoe,
    mvae,
    mvtcae,
)
from jnf_jax.losses.mvae import random_subsets
from jnf_jax.priors.laplace import LaplacePrior
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.types import GaussianCode

TRUTH = linear_gaussian({"a": 4, "b": 6, "c": 5}, latent_size=3, diagonal=True)
NAMES = ("a", "b", "c")
SUBSETS = [s for k in (1, 2, 3) for s in itertools.combinations(NAMES, k)]
ROWS = 8
VIEWS = {m: jnp.asarray(x, jnp.float32) for m, x in TRUTH.sample(0, ROWS)[1].items()}
MASKS = np.array(list(itertools.product([True, False], repeat=3)))  # every subset
PRESENT = {m: jnp.asarray(MASKS[:, i]) for i, m in enumerate(NAMES)}
WEIGHTS = {"a": 2.0, "b": 0.5, "c": 1.0}
BETA = 2.5
RNG = np.random.default_rng(1)
NOISE = RNG.standard_normal((4, 3))  # up to four draws of z
PARAMS = {
    "mean": {
        m: 0.3 * RNG.standard_normal((len(TRUTH.offsets[m]), 3)) for m in NAMES
    },
    "log_scale": {m: RNG.uniform(-1.0, 0.3, 3) for m in NAMES},
    "gain": 0.9,
}  # fmt: skip


class SameNoise(distrax.MultivariateNormalDiag):
    """N(μ, diag σ²) whose draws are μ + σ ξ whatever the key is."""

    def _sample_n(self, key, n):
        noise = jnp.asarray(NOISE[:n], jnp.float32)
        between = (1,) * (self.loc.ndim - 1)
        return self.loc + self.scale_diag * noise.reshape(n, *between, 3)


def encode(params, views):
    return {
        m: GaussianCode(
            x @ params["mean"][m],
            jnp.exp(params["log_scale"][m] + 0.1 * jnp.tanh(x[:, :3])),
        )
        for m, x in views.items()
    }


def decode(params, z):
    """p(x_m|z) = N(gain (A_m z + b_m), s_m² I)."""
    means = {
        m: params["gain"]
        * (z @ jnp.asarray(TRUTH.weights[m].T, jnp.float32) + TRUTH.offsets[m])
        for m in NAMES
    }
    return {
        m: distrax.MultivariateNormalDiag(mean, jnp.full_like(mean, TRUTH.noises[m]))
        for m, mean in means.items()
    }


def normal_prior(params):
    del params
    return NormalPrior(3)


MODEL = AggregateModel(encode, decode, normal_prior, SameNoise)
LOSSES = {
    "mvae": functools.partial(mvae, num_subsets=0),
    "mmvae_looser": functools.partial(mmvae, num_importance_samples=4),
    "mmvae_tighter": functools.partial(
        mmvae, num_importance_samples=4, bound="tighter"
    ),
    "mmjsd": mmjsd,
    "mopoe": mopoe,
    "mvtcae": functools.partial(mvtcae, alpha=0.7),
}


GRADIENTS = {
    name: functools.partial(mmvae, num_importance_samples=3, gradient=name)
    for name in ("dreg", "dreg_published")
}


@functools.cache
def compiled(name):
    """(params, views, present) -> (sum, terms), gradients."""
    loss = (LOSSES | GRADIENTS)[name]

    def total(params, views, present):
        terms = loss(
            params, jax.random.key(0), views, model=MODEL, present=present,
            likelihood_weights=WEIGHTS, beta=BETA,
        )  # fmt: skip
        return terms.objective.sum(), terms

    return jax.jit(jax.value_and_grad(total, has_aux=True))


def evaluate(loss, views=VIEWS, present=PRESENT, params=PARAMS, **options):
    options = dict(model=MODEL, likelihood_weights=WEIGHTS, beta=BETA) | options
    run = lambda p, v, given: loss(p, jax.random.key(0), v, present=given, **options)  # noqa: E731
    return jax.jit(run)(params, views, present)


# --- the equations, in NumPy ---------------------------------------------------------


def log_normal(x, mean, scale):
    terms = ((x - mean) / scale) ** 2 + 2 * np.log(scale) + np.log(2 * np.pi)
    return -0.5 * np.sum(terms + 0 * x, axis=-1)


def kl(q, p):
    ratio = (q[1] / p[1]) ** 2
    return 0.5 * np.sum(ratio - 1 - np.log(ratio) + ((q[0] - p[0]) / p[1]) ** 2)


STANDARD = np.zeros(3), np.ones(3)


def expert(m, i):
    x = np.asarray(VIEWS[m][i], np.float64)
    log_scale = PARAMS["log_scale"][m] + 0.1 * np.tanh(x[:3])
    return x @ PARAMS["mean"][m], np.exp(log_scale)


def product(parts):
    precision = sum(scale**-2.0 for _, scale in parts)
    return sum(m * s**-2.0 for m, s in parts) / precision, precision**-0.5


def reconstruction(z, given, i):
    """Σ_m λ_m log p(x_m|z) over the views given."""
    total = 0.0
    for m in given:
        mean = PARAMS["gain"] * (z @ TRUTH.weights[m].T + TRUTH.offsets[m])
        x = np.asarray(VIEWS[m][i], np.float64)
        total += WEIGHTS[m] * log_normal(x, mean, TRUTH.noises[m])
    return total


def elbo(given, i):
    """MVAE's ELBO(x_S), its log-ratio at z."""
    q = product([STANDARD, *(expert(m, i) for m in given)])
    z = q[0] + q[1] * NOISE[0]
    return reconstruction(z, given, i) - BETA * (
        log_normal(z, *q) - log_normal(z, 0, 1)
    )


def oracle_mvae(given, i):
    return elbo(given, i) + sum(elbo((m,), i) for m in given)


def log_weights(given, i):
    """ℓ_jk of MMVAE, [M, K]."""
    found = []
    for m in given:
        mean, scale = expert(m, i)
        for noise in NOISE:
            z = mean + scale * noise
            q = [np.exp(log_normal(z, *expert(n, i))) for n in given]
            ratio = np.log(np.mean(q)) - log_normal(z, 0.0, np.ones(3))
            found.append(reconstruction(z, given, i) - BETA * ratio)
    return np.reshape(found, (len(given), len(NOISE)))


def oracle_mmvae_looser(given, i):
    weights = log_weights(given, i)
    return np.mean(np.logaddexp.reduce(weights, axis=1) - np.log(len(NOISE)))


def oracle_mmvae_tighter(given, i):
    weights = log_weights(given, i)
    return np.logaddexp.reduce(weights, axis=None) - np.log(weights.size)


def oracle_mmjsd(given, i):
    parts = [STANDARD, *(expert(m, i) for m in given)]
    mean, scale = product(parts)
    dynamic = mean, scale * len(parts) ** 0.5
    draws = [mean + scale * NOISE[0] for mean, scale in parts[1:]]
    likelihood = np.mean([reconstruction(z, given, i) for z in draws])
    return likelihood - BETA * np.mean([kl(part, dynamic) for part in parts])


def oracle_mvtcae(given, i, alpha=0.7):
    parts = [expert(m, i) for m in given]
    q = product(parts)
    z, share = q[0] + q[1] * NOISE[0], alpha / len(given)
    ratio = share * sum(kl(q, part) for part in parts)
    ratio += (1 - alpha) * (log_normal(z, *q) - log_normal(z, 0.0, np.ones(3)))
    return (1 - share) * reconstruction(z, given, i) - BETA * ratio


def candidates_mopoe(given, i):
    """The objective for every component that z may come from."""
    parts = []
    for subset in SUBSETS:
        if set(subset) <= set(given):
            prior = [STANDARD] * (subset == NAMES)
            parts.append(product([*prior, *(expert(m, i) for m in subset)]))
    draws = [mean + scale * NOISE[0] for mean, scale in parts]
    ratios = [
        log_normal(z, *part) - log_normal(z, 0.0, np.ones(3))
        for z, part in zip(draws, parts, strict=True)
    ]
    return [reconstruction(z, given, i) - BETA * np.mean(ratios) for z in draws]


# --- tests ---------------------------------------------------------------------------


def given_of(i):
    return tuple(m for m in NAMES if PRESENT[m][i])


@pytest.mark.parametrize("name", LOSSES)
def test_it_is_the_equation_for_every_mask(name):
    (_, terms), _ = compiled(name)(PARAMS, VIEWS, PRESENT)
    found = np.asarray(terms.objective)
    for i in range(ROWS - 1):
        if name == "mopoe":
            near = candidates_mopoe(given_of(i), i)
            assert np.min(np.abs(np.array(near) - found[i])) < 1e-4 * abs(found[i])
        else:
            truth = globals()[f"oracle_{name}"](given_of(i), i)
            np.testing.assert_allclose(found[i], truth, rtol=1e-4)
    assert not given_of(ROWS - 1) and found[ROWS - 1] == 0  # of no view, nothing


@pytest.mark.parametrize("name", [*LOSSES, *GRADIENTS])
def test_what_is_hidden_changes_no_value_and_no_gradient(name):
    broken = {m: jnp.where(PRESENT[m][:, None], x, jnp.nan) for m, x in VIEWS.items()}
    clean, dirty = (compiled(name)(PARAMS, x, PRESENT) for x in (VIEWS, broken))
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))
    # What no row has teaches its networks nothing.
    _, gradient = compiled(name)(PARAMS, VIEWS, PRESENT | {"a": jnp.zeros(ROWS, bool)})
    for part in ("mean", "log_scale"):
        assert not gradient[part]["a"].any() and gradient[part]["b"].any()


def test_random_subsets_are_uniform_among_those_of_what_a_row_has():
    num = 7_000
    present = {m: jnp.repeat(PRESENT[m], num) for m in NAMES}
    given = jax.jit(random_subsets)(jax.random.key(0), present)
    codes = sum(2**i * np.asarray(given[m], int) for i, m in enumerate(NAMES))
    for row, found in enumerate(codes.reshape(ROWS, num)):
        has = sum(2**i for i, m in enumerate(NAMES) if PRESENT[m][row])
        inside = [s for s in range(1, 8) if s & has == s] or [0]
        share = np.bincount(found, minlength=8) / num
        # Shares have a standard error of at most 0.006.
        np.testing.assert_allclose(share[inside], 1 / len(inside), atol=0.03)
        assert share[inside].sum() == pytest.approx(1)


def test_mvae_adds_the_bounds_of_random_subsets():
    with_two = evaluate(functools.partial(mvae, num_subsets=2)).objective
    (_, without), _ = compiled("mvae")(PARAMS, VIEWS, PRESENT)
    extra = np.asarray(with_two - without.objective)
    for i in range(ROWS - 1):
        inside = [s for s in SUBSETS if set(s) <= set(given_of(i))]
        each = [elbo(s, i) for s in inside]
        sums = [a + b for a in each for b in each]
        assert np.min(np.abs(np.array(sums) - extra[i])) < 2e-4 * abs(extra[i])


# --- identities ----------------------------------------------------------------------


def exact_encode(params, views):
    """Experts that are p(x_m|z) as functions of z: times N(0, I) they are exact."""
    del params
    found = {}
    for m, x in views.items():
        precision = np.diag(TRUTH.precision([m])) - 1
        a = jnp.asarray(
            TRUTH.weights[m] / TRUTH.noises[m] ** 2 / precision, jnp.float32
        )
        scale = jnp.asarray(precision**-0.5, jnp.float32)
        mean = (x - TRUTH.offsets[m]) @ jnp.asarray(a, jnp.float32)
        found[m] = GaussianCode(mean, jnp.broadcast_to(scale, mean.shape))
    return found


EXACT = AggregateModel(exact_encode, decode, normal_prior)
UNIT = PARAMS | {"gain": 1.0}


def log_marginal(*names):
    return TRUTH.log_marginal({m: np.asarray(VIEWS[m]) for m in names})


def test_with_exact_experts_mvae_is_the_sum_of_log_marginals_for_every_key():
    run = jax.jit(functools.partial(mvae, model=EXACT, num_subsets=0))
    for seed in range(2):
        terms = run(UNIT, jax.random.key(seed), VIEWS)
        truth = log_marginal(*NAMES) + sum(log_marginal(m) for m in NAMES)
        np.testing.assert_allclose(terms.objective, truth, rtol=2e-5)
        joint = sum(terms.log_likelihood.values()) - terms.log_ratio
        np.testing.assert_allclose(joint, log_marginal(*NAMES), rtol=2e-5)


def test_mopoe_of_the_full_subset_alone_is_the_joint_term_of_mvae():
    joint = evaluate(mvae, present=None)
    alone = evaluate(mopoe, present=None, subsets=[NAMES])
    for field in ("log_likelihood", "log_ratio", "z"):
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5),
            getattr(alone, field),
            getattr(joint, field),
        )


def test_what_they_are_for_one_modality():
    """The ELBO, a multiple of it, or of another posterior; mmJSD is none."""
    x, options = {"a": VIEWS["a"]}, dict(present=None, likelihood_weights={"a": 2.0})

    def decode_a(params, z):
        return {"a": decode(params, z)["a"]}

    def of(with_prior):
        def q(params, views):
            code = encode(params, views)["a"]
            precision = code.scale**-2.0 + with_prior
            return SameNoise(code.mean * code.scale**-2.0 / precision, precision**-0.5)

        model = JointModel(q, decode_a, normal_prior)
        options = dict(likelihood_weights={"a": 2.0}, beta=BETA, log_ratio=gaussian_kl)
        key = jax.random.key(0)
        return joint_elbo(PARAMS, key, x, model=model, **options).objective

    model = AggregateModel(encode, decode_a, normal_prior, SameNoise)
    run = functools.partial(evaluate, views=x, model=model, **options)
    closed = dict(log_ratio=gaussian_kl)
    expected = {
        3: run(functools.partial(mvae, num_subsets=1), **closed),
        1: run(mopoe, **closed),
    }
    for factor, terms in expected.items():
        np.testing.assert_allclose(terms.objective, factor * of(1), rtol=1e-5)
    terms = run(functools.partial(mvtcae, alpha=0.7), **closed)
    np.testing.assert_allclose(terms.objective, 0.3 * of(0), rtol=1e-5)


def test_of_one_view_both_bounds_of_mmvae_are_one():
    """That of ``iwae_bound``, as the oracles have it."""
    looser, tighter = (
        np.asarray(compiled(f"mmvae_{name}")(PARAMS, VIEWS, PRESENT)[0][1].objective)
        for name in ("looser", "tighter")
    )
    alone = MASKS.sum(axis=1) == 1
    np.testing.assert_allclose(looser[alone], tighter[alone], rtol=1e-6)
    assert (looser < tighter)[MASKS.sum(axis=1) > 1].all()


def test_draws_tighten_both_bounds_and_the_tighter_one_comes_nearer():
    rows = 4_000
    x = {m: jnp.repeat(v[:1], rows, axis=0) for m, v in VIEWS.items()}
    model = AggregateModel(encode, decode, normal_prior)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def bounds(num, bound):
        options = dict(model=model, num_importance_samples=num, bound=bound)
        return mmvae(UNIT, jax.random.key(num), x, **options).objective

    found = {
        (num, bound): np.asarray(bounds(num, bound))
        for num in (1, 8)
        for bound in ("looser", "tighter")
    }
    error = 5 * max(value.std() for value in found.values()) * (2 / rows) ** 0.5
    mean = {key: value.mean() for key, value in found.items()}
    assert mean[8, "looser"] - mean[1, "looser"] > error
    assert mean[8, "tighter"] - mean[1, "tighter"] > error
    assert mean[8, "tighter"] - mean[8, "looser"] > error
    assert mean[8, "tighter"] < log_marginal(*NAMES)[0] + error


def test_mmvae_plus_without_private_latents_is_mmvae():
    nothing = jnp.zeros((ROWS, 0))
    private = distrax.Independent(distrax.Laplace(nothing, nothing), 1)
    plus = MixtureModel(
        lambda params, views: {
            m: Expert(SameNoise(code.mean, code.scale), private)
            for m, code in encode(params, views).items()
        },
        lambda params, latent: decode(params, latent.shared),
        normal_prior,
        LaplacePrior(0),
        lambda params: dict.fromkeys(NAMES, LaplacePrior(0)),
    )

    def total(params, loss, model):
        options = dict(likelihood_weights=WEIGHTS, beta=BETA)
        terms = loss(
            params, jax.random.key(0), VIEWS, model=model,
            num_importance_samples=4, **options,
        )  # fmt: skip
        return terms.objective.sum(), terms

    both = jax.jit(jax.value_and_grad(total, has_aux=True), static_argnums=(1, 2))
    (_, one), gradient = both(PARAMS, mmvae, MODEL)
    (_, other), expected = both(PARAMS, mmvae_plus, plus)
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(compare, one, other)
    jax.tree.map(compare, gradient, expected)


# --- gradients of MMVAE's experts ----------------------------------------------------


@functools.partial(jax.jit, static_argnames=("gradient", "num", "bound", "beta"))
def expert_gradients(mean, scale, key, gradient, num, bound="looser", beta=1.0):
    """∂/∂(μ_m, σ_m) of each row's bound, f32[B, 2 M], and ∂/∂gain of all.

    x_m = 0.5 = 1.3 gain z + 0.7 ξ in one dimension, p(z) = N(0, 1).
    """
    names = [str(m) for m in range(mean.shape[1])]
    views = {m: jnp.full((len(mean), 1), 0.5) for m in names}

    def total(params):
        mean, scale, gain = params
        model = AggregateModel(
            lambda params, views: {
                m: GaussianCode(mean[:, i, None], scale[:, i, None])
                for i, m in enumerate(names)
            },
            lambda params, z: {
                m: distrax.MultivariateNormalDiag(1.3 * gain * z, jnp.full_like(z, 0.7))
                for m in names
            },
            lambda params: NormalPrior(1),
        )
        return mmvae(
            params, key, views, model=model, num_importance_samples=num, bound=bound,
            gradient=gradient, beta=beta,
        ).objective.sum()  # fmt: skip

    value, (mean, scale, gain) = jax.value_and_grad(total)((mean, scale, 1.0))
    return value, jnp.concatenate([mean, scale], axis=1), gain


def gradients(mean, scale, num_rows=20_000, **options):
    """Mean over rows, its standard error, the value and ∂/∂gain."""
    tile = lambda numbers: jnp.tile(jnp.array(numbers), (num_rows, 1))  # noqa: E731
    key = jax.random.key(1)
    value, each, gain = expert_gradients(tile(mean), tile(scale), key, **options)
    each = np.asarray(each, np.float64)
    return each.mean(0), each.std(0) / num_rows**0.5, value, gain


APART, ALIKE = ([0.0, 1.0], [1.0, 0.6]), ([0.3, 0.3], [0.8, 0.8])


def distance(found, other):
    """In standard errors of the difference, the largest."""
    return np.max(np.abs(found[0] - other[0]) / np.hypot(found[1], other[1]))


@pytest.mark.parametrize(("bound", "beta"), [("looser", 1.0), ("tighter", 2.0)])
def test_the_generalised_gradient_is_unbiased(bound, beta):
    plain, dreg = (
        gradients(*APART, gradient=name, num=10, bound=bound, beta=beta)
        for name in ("plain", "dreg")
    )
    assert distance(plain, dreg) < 5
    # The value is the same, and so is what the decoder learns.
    np.testing.assert_allclose(dreg[2:], plain[2:], rtol=1e-4)


def test_the_published_gradient_is_biased_where_experts_differ():
    plain, published = (
        gradients(*APART, gradient=name, num=10) for name in ("plain", "dreg_published")
    )
    assert distance(plain, published) > 7
    np.testing.assert_allclose(published[2:], plain[2:], rtol=1e-4)


@pytest.mark.parametrize(("experts", "num"), [(ALIKE, 10), (APART, 1)])
def test_the_published_gradient_is_right_for_equal_experts_and_for_one_draw(
    experts, num
):
    plain, published = (
        gradients(*experts, gradient=name, num=num)
        for name in ("plain", "dreg_published")
    )
    assert distance(plain, published) < 5


def test_for_one_expert_both_are_dreg():
    dreg, published = (
        gradients([0.2], [0.8], gradient=name, num=10)
        for name in ("dreg", "dreg_published")
    )
    np.testing.assert_allclose(dreg[0], published[0], rtol=1e-4)


# --- what is refused -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (mvae, {"num_subsets": -1}, "`num_subsets` is -1, expected >= 0"),
        (mvtcae, {"alpha": 1.5}, r"`alpha` is 1.5, expected in \[0, 1\]"),
        (mopoe, {"subsets": []}, r"`subsets` is \[\], expected one or more"),
        (mopoe, {"subsets": [("a", "d")]}, r"`subsets` is .*expected one or more"),
        (mmvae, {"num_importance_samples": 0}, "samples` is 0, expected >= 1"),
        (mmvae, {"bound": "loose"}, "`bound` is 'loose', expected one of"),
        (mmvae, {"gradient": "iwae"}, "`gradient` is 'iwae', expected one of"),
        *(
            (loss, {"likelihood_weights": {"a": 1.0}}, "`likelihood_weights` names")
            for loss in (mvae, mmvae, mmjsd, mopoe, mvtcae)
        ),
        *(
            (loss, {"present": {"a": jnp.ones(ROWS, bool)}}, "`present` names")
            for loss in (mvae, mmvae, mmjsd, mopoe, mvtcae)
        ),
    ],
)
def test_what_does_not_fit_is_refused(loss, options, message):
    run = functools.partial(loss, model=MODEL, **options)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(run, PARAMS, jax.random.key(0), VIEWS)


def test_experts_of_other_modalities_are_refused():
    model = AggregateModel(lambda params, views: {}, decode, normal_prior)
    with pytest.raises(ValueError, match=r"`model.encode` gives \[\], expected \['a'"):
        mmjsd(PARAMS, jax.random.key(0), VIEWS, model=model)
