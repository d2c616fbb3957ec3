"""Every family on one table: what it starts as, what it learns, what it refuses."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import options
from jnf_jax.networks.energy import TiltNetwork, bound_slope
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.family import PriorFamily
from jnf_jax.priors.flow import FlowFamily
from jnf_jax.priors.laplace import LaplacePrior
from jnf_jax.priors.learnable_scale import LearnableScaleFamily
from jnf_jax.priors.mixture import MixtureFamily
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.priors.registry import FAMILIES, FITTED_FAMILIES, PRIORS, load
from jnf_jax.priors.vamp import VampFamily
from jnf_jax.types import GaussianCode, Prior
from tests.oracles import random_like

LATENT = 3
SHAPES = {"a": (4,), "b": (2, 2)}
LEARNT = {"learnable_scale", "mixture", "vamp", "energy", "flow"}


def standard_normal(*shape):
    draws = np.random.default_rng(1).standard_normal(shape)
    return jnp.asarray(draws, jnp.float32)


def encode(views):
    """Mean and scale of a toy joint encoder."""
    mean = views["a"][:, :LATENT] - views["b"].reshape(-1, 4)[:, :LATENT]
    return GaussianCode(mean, 0.5 + views["a"][:, 1:], None)


def bound(family, params=None):
    if params is None:
        params = family.init(jax.random.key(0), LATENT, SHAPES)
    return family.bind(params, LATENT, encode)


def test_the_registry_knows_names_without_jax():
    script = """
        import sys
        from jnf_jax.priors.registry import FAMILIES
        assert "jax" not in sys.modules
        print(*FAMILIES)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(FAMILIES)
    assert all(load(name).name == name for name in FAMILIES)
    assert set(FAMILIES) == set(PRIORS) | set(FITTED_FAMILIES)


@pytest.mark.parametrize("name", PRIORS)
def test_a_family_makes_priors(name):
    family = PRIORS[name]()
    assert family.name == name and isinstance(family, PriorFamily)
    assert hash(family) == hash(PRIORS[name]()) and not options.faults(family)
    params = jax.jit(lambda key: family.init(key, LATENT, SHAPES))(jax.random.key(0))
    assert bool(params) == (name in LEARNT)
    assert isinstance(bound(family, params), Prior)

    @jax.jit
    def ask(params, key):
        prior = bound(family, params)
        return prior.log_density(jnp.ones((5, LATENT))), prior.sample(key, 6)

    log_density, z = jax.tree.map(np.asarray, ask(params, jax.random.key(1)))
    assert log_density.shape == (5,)
    assert z.shape == (6, LATENT) and np.isfinite(z).all()


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"diffusion"}))
def test_a_density_of_many_rows_is_that_of_few(name):
    """jaxlib 0.10.2 fuses y − Σ_k r_k x_k into wrong numbers beyond 32,768 rows."""
    family = load(name)()
    shapes = jax.eval_shape(lambda: family.init(jax.random.key(0), LATENT, SHAPES))
    prior = bound(family, random_like(shapes, seed=0))
    log_density, z = jax.jit(prior.log_density), standard_normal(40_000, LATENT)
    few = [log_density(part) for part in jnp.split(z, 8)]
    np.testing.assert_allclose(log_density(z), np.concatenate(few), rtol=1e-4)


@pytest.mark.parametrize("name", sorted(LEARNT))
def test_every_parameter_reaches_the_density(name):
    family = PRIORS[name]()
    shapes = jax.eval_shape(lambda: family.init(jax.random.key(0), LATENT, SHAPES))
    params = random_like(shapes, seed=0)
    z = standard_normal(64, LATENT)

    @jax.jit
    @jax.jacobian
    def gradient(params):
        # Differences from the first row: constants, of which an energy has one, drop.
        log_density = bound(family, params).log_density(z)
        return log_density[1:] - log_density[0]

    silent = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(params))
        if not np.abs(leaf).max() > 0
    ]
    free = {"energy": ["['Dense_2']['bias']"]}
    assert silent == free.get(name, [])


@pytest.mark.parametrize(
    ("family", "start"),
    [
        (FlowFamily(), NormalPrior(LATENT)),
        (EnergyFamily(), NormalPrior(LATENT)),
        (
            EnergyFamily(reference="laplace", slope_bound=0.5),
            LaplacePrior(LATENT),
        ),
        (LearnableScaleFamily(), LaplacePrior(LATENT)),
        (LearnableScaleFamily(kind="normal"), NormalPrior(LATENT)),
    ],
)
def test_where_a_family_starts(family, start):
    z = standard_normal(20, LATENT)
    got, expected = jax.jit(
        lambda z: (bound(family).log_density(z), start.log_density(z))
    )(z)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_learnable_scales_average_to_one():
    family = LearnableScaleFamily()
    prior = bound(family, {"logits": jnp.array([0.0, 1.0, -2.0])})
    assert float(jnp.mean(prior.scale)) == pytest.approx(1)


def test_vamp_is_the_mixture_of_the_encoders_answers():
    family = VampFamily(num_components=4)
    params = family.init(jax.random.key(0), LATENT, SHAPES)
    inputs = jax.tree.map(jax.nn.sigmoid, params)
    assert {m: u.shape for m, u in inputs.items()} == {"a": (4, 4), "b": (4, 2, 2)}
    mean, scale, _ = jax.tree.map(np.asarray, encode(inputs))
    z = standard_normal(LATENT)
    log_q = -0.5 * ((np.asarray(z) - mean) / scale) ** 2 - np.log(scale)
    log_q = np.sum(log_q - 0.5 * np.log(2 * np.pi), axis=-1)
    expected = np.logaddexp.reduce(log_q) - np.log(4.0)
    np.testing.assert_allclose(bound(family, params).log_density(z), expected, 1e-5)


def test_mixture_scales_are_fixed_and_means_start_in_the_unit_box():
    prior = bound(MixtureFamily(num_components=200))
    assert jnp.abs(prior.means).max() <= 1 and prior.scales == 1


def test_slope_bound_holds_along_random_segments():
    network = TiltNetwork((16, 16))
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.zeros(LATENT)))
    params = random_like(shapes, seed=0, scale=5.0)["params"]
    bounded = jax.jit(lambda params: bound_slope(params, 0.7))(params)
    a, b = 3 * standard_normal(2, 2_000, LATENT)
    distance = np.linalg.norm(a - b, axis=-1)

    @jax.jit
    def steepest(params):
        f = lambda z: network.apply({"params": params}, z)  # noqa: E731
        return (jnp.abs(f(a) - f(b)) / distance).max()

    assert steepest(bounded) <= 0.7 < steepest(params)
    # Where the bound acts, the gradient is that of the scaled function.
    direction = random_like(params, seed=1)

    @jax.jit
    def moved(step):
        there = jax.tree.map(lambda p, d: p + step * d, params, direction)
        return network.apply({"params": bound_slope(there, 0.7)}, a[:50]).sum()

    numerical = (moved(1e-2) - moved(-1e-2)) / 2e-2
    np.testing.assert_allclose(jax.grad(moved)(0.0), numerical, rtol=0.02)
    gentle = jax.jit(lambda params: bound_slope(params, 1e6))(params)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, gentle, params)))


@pytest.mark.parametrize(
    ("family", "field"),
    [
        (PRIORS["laplace"](scale=0.0), "scale"),
        (PRIORS["smoothed_laplace"](width=-1.0), "width"),
        (PRIORS["learnable_scale"](kind="cauchy"), "kind"),
        (PRIORS["mixture"](num_components=0), "num_components"),
        (PRIORS["mixture"](kind="cauchy"), "kind"),
        (PRIORS["vamp"](num_components=0), "num_components"),
        (PRIORS["flow"](num_blocks=-1), "num_blocks"),
        (PRIORS["flow"](hidden_sizes=()), "hidden_sizes"),
        (PRIORS["energy"](reference="cauchy", confinement=1.0), "reference"),
        (PRIORS["energy"](reference="laplace"), "reference"),
        (PRIORS["energy"](reference="laplace", slope_bound=1.0), "reference"),
        (PRIORS["energy"](activation="gelu", slope_bound=1.0), "slope_bound"),
        (PRIORS["energy"](confinement=-1.0), "confinement"),
        (PRIORS["energy"](step_size=0.0), "step_size"),
        (PRIORS["energy"](num_steps=-1), "num_steps"),
        (PRIORS["energy"](start="z"), "start"),
        (PRIORS["energy"](draw_steps=-2), "draw_steps"),
        (PRIORS["energy"](draw_step_size=-0.1), "draw_step_size"),
    ],
)
def test_faults_name_the_option(family, field):
    (fault,) = options.faults(family, "model.prior")
    assert (
        fault.startswith(f"`model.prior.{field}`")
        and "expected" in fault
        or (field == "slope_bound" and "needs the activation" in fault)
    )
