"""Every prior on one table: its density integrates to one, its draws follow it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jnf_jax import options
from jnf_jax.priors.energy import EnergyFamily, EnergyTiltedPrior
from jnf_jax.priors.gmm import GaussianMixtureFamily
from jnf_jax.priors.laplace import LaplacePrior, SmoothedLaplacePrior
from jnf_jax.priors.mixture import MixturePrior, prune
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.sampling import LangevinSettings
from jnf_jax.types import Prior
from tests.oracles import random_like

MEANS = jnp.array([[-2.0, 0.5], [1.0, 1.5], [0.0, -3.0]])
SCALES = jnp.array([[0.5, 1.0], [1.5, 0.4], [0.8, 0.8]])
LOGITS = jnp.array([0.3, -0.5, 1.0])
FACTORS = jnp.array([[[0.5, 0], [0.7, 0.4]], [[1, 0], [-0.5, 1]], [[0.6, 0], [0, 0.9]]])

PRIORS = {
    "normal": NormalPrior(2),
    "normal, scales": NormalPrior(2, jnp.array([0.5, 2.0])),
    "laplace": LaplacePrior(2),
    "laplace, scales": LaplacePrior(2, jnp.array([0.5, 1.5])),
    "smoothed laplace": SmoothedLaplacePrior(2, scale=0.8, width=0.3),
    "mixture": MixturePrior(LOGITS, MEANS, SCALES),
    "laplace mixture": MixturePrior(LOGITS, MEANS, SCALES, kind="laplace"),
    "full mixture": GaussianMixtureFamily(num_components=3).bind(
        {"logits": LOGITS, "means": MEANS, "factors": FACTORS}, 2
    ),
}
STEP = 0.05


def standard_normal(*shape):
    return np.float32(np.random.default_rng(0).standard_normal(shape))


AXIS = np.arange(-400, 400) * STEP + STEP / 2


@pytest.fixture(scope="module", params=PRIORS)
def prior(request) -> Prior:
    return PRIORS[request.param]


@pytest.fixture(scope="module")
def grid(prior):
    """Points [N, 2] and their probabilities, by the midpoint rule."""
    first, second = np.meshgrid(AXIS, AXIS, indexing="ij")
    points = jnp.asarray(np.stack([first.ravel(), second.ravel()], -1), jnp.float32)
    log_density = np.asarray(jax.jit(prior.log_density)(points), np.float64)
    return np.asarray(points, np.float64), np.exp(log_density) * STEP**2


def test_it_is_a_prior(prior):
    assert isinstance(prior, Prior)
    found = jax.eval_shape(prior.log_density, jnp.zeros((4, 3, 2)))
    assert found.shape == (4, 3)


def test_density_integrates_to_one(prior, grid):
    # The midpoint rule is short by a few 1e-4 at the kink of a Laplace.
    assert prior.is_normalised
    assert abs(grid[1].sum() - 1) < 1e-3


def test_draws_follow_the_density(prior, grid):
    points, probability = grid
    z = np.asarray(jax.jit(prior.sample, static_argnums=1)(jax.random.key(0), 50_000))
    assert z.shape == (50_000, 2)
    features = {
        "z": lambda z: z,
        "z squared": np.square,
        "z to the fourth": lambda z: z**4,
        "correlation": lambda z: z[:, :1] * z[:, 1:],
        "right of a cell edge": lambda z: (z > 0.3).astype(float),
    }
    for name, feature in features.items():
        values = feature(z)
        standard_error = values.std(0) / len(z) ** 0.5
        expected = probability @ feature(points)
        assert (np.abs(values.mean(0) - expected) < 5 * standard_error + 2e-3).all(), (
            name
        )


def test_smoothed_laplace_lies_between_its_limits():
    z = jnp.array([[0.0, 1.0], [-3.0, 0.2]])
    sharp = SmoothedLaplacePrior(2, scale=0.8, width=1e-4)
    np.testing.assert_allclose(
        jax.jit(sharp.log_density)(z),
        jax.jit(LaplacePrior(2, 0.8).log_density)(z),
        atol=1e-3,
    )
    # At 0 the curvature is −1/(bδ), as docstring says: a Gaussian's.
    smooth = SmoothedLaplacePrior(1, scale=0.8, width=0.3)
    curvature = jax.jit(jax.hessian(smooth.log_density))(jnp.zeros(1))
    np.testing.assert_allclose(curvature, [[-1 / (0.8 * 0.3)]], rtol=1e-5)
    with pytest.raises(ValueError, match="`width` is 0.0, expected > 0"):
        SmoothedLaplacePrior(2, width=0.0)


def test_normaliser_of_the_smoothed_laplace_is_the_bessel_function():
    scipy_special = pytest.importorskip("scipy.special")
    for scale, width in ((1.0, 0.1), (0.5, 2.0), (2.0, 0.01)):
        prior = SmoothedLaplacePrior(1, scale, width)
        expected = -np.log(2 * width * scipy_special.k1e(width / scale))
        got = jax.jit(prior.log_density)(jnp.zeros(1))
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_responsibilities_make_cmvae_an_elbo_with_a_mixture():
    prior = PRIORS["laplace mixture"]
    z = 2 * standard_normal(5, 2)
    terms = np.asarray(jax.jit(prior.component_log_densities)(z))
    log_q = special.log_softmax(terms, axis=-1)
    cmvae = np.sum(np.exp(log_q) * (terms - log_q), axis=-1)
    np.testing.assert_allclose(cmvae, jax.jit(prior.log_density)(z), rtol=1e-5)
    with pytest.raises(ValueError, match="`kind` is 'cauchy', expected one of"):
        MixturePrior(LOGITS, MEANS, SCALES, kind="cauchy")


A, B = jnp.array([0.5, 2.0]), jnp.array([1.0, -2.0])


def quadratic(z):
    """f(z) = −½ Σ a_d z_d² + Σ b_d z_d: tilts N(0, I) to N(b/(1+a), 1/(1+a))."""
    return jnp.sum(-0.5 * A * z**2 + B * z, axis=-1)


def test_tilted_normal_is_the_gaussian_of_the_closed_form():
    prior = EnergyTiltedPrior(
        quadratic, NormalPrior(2), LangevinSettings("mala", 100, 0.3)
    )
    assert isinstance(prior, Prior) and not prior.is_normalised
    a, b = np.asarray(A), np.asarray(B)
    mean, scale = b / (1 + a), (1 + a) ** -0.5

    @jax.jit
    def log_ratio(z):
        truth = NormalPrior(2, jnp.asarray(scale)).log_density(z - mean)
        return prior.log_density(z) - truth

    log_z = np.sum(-0.5 * np.log(1 + a) + b**2 / (2 * (1 + a)))
    np.testing.assert_allclose(log_ratio(standard_normal(50, 2)), log_z, rtol=2e-5)
    draw = jax.jit(prior.sample, static_argnums=1)
    draws = np.asarray(draw(jax.random.key(1), 20_000))
    standard_error = scale / 20_000**0.5
    assert (np.abs(draws.mean(0) - mean) < 5 * standard_error).all()
    # sd of a sample sd is 1/√(2n) of it.
    assert (np.abs(draws.std(0) / scale - 1) < 5 / (2 * 20_000) ** 0.5).all()


def test_without_tilt_the_reference_is_what_is_drawn():
    prior = EnergyTiltedPrior(
        lambda z: jnp.zeros(z.shape[:-1]), LaplacePrior(2), LangevinSettings("mala", 0)
    )
    start_key, _ = jax.random.split(jax.random.key(0))
    draws = jax.jit(prior.sample, static_argnums=1)(jax.random.key(0), 7)
    expected = jax.jit(LaplacePrior(2).sample, static_argnums=1)(start_key, 7)
    np.testing.assert_array_equal(draws, expected)


RAYS = np.concatenate([np.eye(3), -np.eye(3), standard_normal(20, 3)])
RAYS /= np.linalg.norm(RAYS, axis=-1, keepdims=True)
FAR = np.float32(np.array([10.0, 1e4, 1e5])[:, None, None] * RAYS)


@pytest.mark.parametrize("reference", ["normal", "laplace", "smoothed_laplace"])
@pytest.mark.parametrize("bound", [dict(slope_bound=1.2), dict(confinement=0.01)])
def test_a_bounded_network_keeps_every_reference_integrable_along_rays(
    reference, bound
):
    """Of scale 1/√2, whose tails fall by 1.41 nats a unit along an axis, more else."""
    family = EnergyFamily(
        reference=reference, reference_scale=0.5**0.5, hidden_sizes=(16, 16), **bound
    )
    assert not options.faults(family)
    shapes = jax.eval_shape(lambda: family.init(jax.random.key(0), 3, {}))
    # A steep f, that grows by more than 1.41 nats a unit along some ray if left alone.
    params = random_like(shapes, 0, scale=5.0)
    free = dataclasses.replace(family, slope_bound=0.0, confinement=0.0)
    values = np.asarray(jax.jit(free.tilt)(params, FAR))
    assert float((values[2] - values[1]).max()) > 1.42 * 9e4
    log_density = jax.jit(lambda params, z: family.bind(params, 3).log_density(z))
    near, middle, far = np.asarray(log_density(params, FAR))
    # Far out it falls by at least 0.2 nats a unit.
    assert (middle < near - 0.2 * 9_990).all() and (far < middle - 0.2 * 9e4).all()


def test_confinement_keeps_a_steep_tilt_integrable_along_rays():
    steep = lambda z: 2 * jnp.linalg.norm(z, axis=-1)  # noqa: E731 — slope 2 > 1/b
    settings = LangevinSettings()

    def on_rays(**options):
        prior = EnergyTiltedPrior(steep, LaplacePrior(3), settings, **options)
        return np.asarray(jax.jit(prior.log_density)(FAR))

    loose, tight = on_rays(), on_rays(confinement=0.1)
    assert (loose[-1] > loose[0]).any()
    assert (tight[1] < tight[0]).all() and (tight[2] < tight[1] - 1e3).all()


@pytest.mark.parametrize(
    "prior",
    [
        NormalPrior(2, 1.7),
        MixturePrior(jnp.zeros(3), jnp.array([[0.5, 0], [1, 1], [-1, 0.5]]), 1.7),
        EnergyTiltedPrior(
            lambda z: jnp.sum(jnp.sin(z), axis=-1),
            NormalPrior(2, 1.7),
            LangevinSettings(),
            confinement=0.3,
        ),
    ],
    ids=["normal", "mixture", "energy"],
)
def test_the_precision_of_tails_is_the_curvature_far_out(prior):
    r"""Λ with log p(z) ~ −½ Λ z², by the second difference of steps of 1,000."""
    far = jnp.array([[1e3, 0.0], [2e3, 0.0], [3e3, 0.0]])
    near, middle, most = np.asarray(jax.jit(prior.log_density)(far), np.float64)
    curvature = -(near - 2 * middle + most) / 1e6
    precision = np.broadcast_to(prior.tail_precision, 2)
    np.testing.assert_allclose(curvature, precision[0], rtol=5e-3)


def test_components_that_no_draw_needs_are_pruned():
    """Three clusters and six components: twins, two halves, one that nothing uses."""
    means = np.array([[0.0, 0], [0, 0], [9, 0], [0, 9.2], [0, 8.8], [50, 50]])
    weights = np.array([0.2, 0.2, 0.3, 0.14, 0.15, 0.01])
    prior = MixturePrior(jnp.log(jnp.asarray(weights)), jnp.asarray(means), 1.0)
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0], [9, 0], [0, 9]])
    which = rng.choice(3, 400, p=[0.4, 0.3, 0.3])
    z = (centres[which] + rng.standard_normal((400, 2))).astype(np.float32)
    found = prune(prior, z, max_cost=0.02)
    assert [found.stays[:2].sum(), found.stays[2], found.stays[3:5].sum()] == [1, 1, 1]
    assert found.stays.sum() == 3
    np.testing.assert_allclose(found.weights.sum(), 1, rtol=1e-12)
    # The weight of a twin goes to its twin, that of one that is not used to all.
    each = [found.weights[:2].sum(), found.weights[2], found.weights[3:5].sum()]
    np.testing.assert_allclose(each, [0.404, 0.303, 0.293], atol=0.003)
    # The cost is that of the mixture that stays.
    weights, z_all = jnp.asarray(found.weights[found.stays]), jnp.asarray(z)
    kept = MixturePrior(jnp.log(weights), jnp.asarray(means[found.stays]), 1.0)
    fall = prior.log_density(z_all) - kept.log_density(z_all)
    np.testing.assert_allclose(found.cost[2], np.mean(fall), atol=1e-4)
    assert found.cost[1] > 1 and found.cost[5] == 0
    assert prune(prior, z, max_cost=1e9).stays.sum() == 1
    with pytest.raises(ValueError, match="`max_cost` is -1.0 with 400 draws `z`"):
        prune(prior, z, max_cost=-1.0)
