"""A diffusion decoder on a Gaussian residual, for which a fresh one is the optimum."""

import dataclasses

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import options
from jnf_jax.methods.diffusion_decoder import DenoiserSettings
from jnf_jax.methods.method import Batch
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.sampling import ChainSettings
from tests.oracles import random_like

SHAPES = {"a": (6, 6, 1), "b": (5, 7, 3), "text": (4, 2)}
STAGE = "diffusion_decoder"
SETTINGS = DenoiserSettings(features=(4, 6), residual_scale=0.05)


def make(settings=SETTINGS, name="jnf", shapes=SHAPES):
    return build_method(
        name,
        shapes,
        model=ModelSettings(
            2,
            {"default": NetworkSettings("mlp", hidden_sizes=(8,))},
            {"default": LikelihoodSettings("normal", 0.5)},
        ),
        flow=FlowSettings(num_blocks=0, hidden_sizes=(8,)),
        sampler=ChainSettings(num_transitions=5, num_adaptation=5),
        denoiser=settings,
    )


@pytest.fixture(scope="module")
def fresh():
    """Method, its parameters by stage, and z: means near a half, far from any clip.

    The output layer of each denoiser is 0, as at initialisation.
    """
    method = make()
    stages = {stage.name: stage for stage in method.stages}
    params = {
        name: random_like(
            jax.eval_shape(stages[name].init, jax.random.key(0)), seed=0, scale=0.2
        )
        for name in ("joint", STAGE)
    }
    for network in params[STAGE].values():
        network["correction"] = jax.tree.map(jnp.zeros_like, network["correction"])
    z = 0.1 * np.random.default_rng(1).standard_normal((400, 2))
    return method, params, jnp.asarray(z, jnp.float32)


def test_it_is_a_stage_behind_the_others(fresh):
    method, params, _ = fresh
    assert [s.name for s in method.stages] == ["joint", "unimodal", STAGE]
    stage = method.stages[-1]
    assert (stage.needs, stage.settings, stage.cache) == (
        ("joint",),
        ("denoiser",),
        None,
    )
    assert sorted(params[STAGE]) == ["a", "b"]  # none for what is no picture
    assert make(None).diffusion_decoder is None


@dataclasses.dataclass(frozen=True)
class KnownMeans:
    """A joint VAE whose decoders show z twice, as grey around a half."""

    views: tuple
    latent_size: int = 2

    def encode(self, params, views):
        return distrax.MultivariateNormalDiag(views["z"], jnp.zeros_like(views["z"]))

    def decode(self, params, z):
        grey = 0.5 + 0.05 * z.mean(-1)
        return {
            v.name: distrax.Normal(
                grey.reshape(-1, *[1] * len(v.shape)) * jnp.ones(v.shape), 1.0
            )
            for v in self.views
        }


def test_loss_of_a_gaussian_residual_is_the_closed_form(fresh):
    """y ~ N(0, I) has ŝ = −√v y: F = 0, and E‖ŝ + ξ‖²/a² is 1 for each pixel."""
    method, params, z = fresh
    known = KnownMeans(method.diffusion_decoder.joint.views)
    decoder = dataclasses.replace(method.diffusion_decoder, joint=known)
    frozen = {"joint": {}}
    rng = np.random.default_rng(0)
    views = {
        m: x + np.float32(SETTINGS.residual_scale * rng.standard_normal(x.shape))
        for m, x in jax.device_get(jax.jit(decoder.means)(frozen, z)).items()
    }
    views["z"] = z
    loss, metrics = jax.jit(decoder.loss)(
        params[STAGE], frozen, jax.random.key(6), Batch(views)
    )
    for m, size in {"a": 36, "b": 105}.items():
        # A pixel's term is the square of a ξ − √v y_0 ~ N(0, 1).
        per_pixel = float(metrics[f"denoising/{m}"]) / size
        assert abs(per_pixel - 1) < 5 * np.sqrt(2 / (400 * size))
    total = sum(metrics[f"denoising/{m}"] for m in "ab")
    np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_draws_have_the_mean_and_the_spread_of_the_residual(fresh):
    method, params, z = fresh
    decoder = method.diffusion_decoder
    traces = []

    @jax.jit
    def draw(key):
        traces.append(key)
        return decoder.draw(params, key, z, ("a", "b", "text"))

    means, drawn = jax.device_get(
        (jax.jit(decoder.means)(params, z), draw(jax.random.key(2)))
    )
    np.testing.assert_allclose(drawn["text"], means["text"], atol=1e-6)
    for m in "ab":
        residual = np.asarray(drawn[m] - means[m], np.float64)
        # 2 % for 20 steps of the solver, and 5 standard errors.
        num = residual.size
        assert abs(residual.mean()) < 5 * 0.05 / num**0.5
        assert abs(residual.std() / 0.05 - 1) < 0.02 + 5 / (2 * num) ** 0.5
    again, other = (jax.device_get(draw(jax.random.key(seed))) for seed in (2, 3))
    assert len(traces) == 1
    np.testing.assert_array_equal(again["a"], drawn["a"])
    assert (other["a"] != drawn["a"]).mean() > 0.99
    # Whichever are asked for, each is drawn as it would be.
    alone = jax.jit(lambda key: decoder.draw(params, key, z, ("b",)))(jax.random.key(2))
    assert list(alone) == ["b"]
    np.testing.assert_allclose(alone["b"], drawn["b"], atol=1e-5)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_a_lower_temperature_scales_what_is_drawn_of_a_gaussian(fresh, temperature):
    """The flow of a Gaussian is linear in where it starts."""
    method, params, z = fresh
    decoder = method.diffusion_decoder
    settings = dataclasses.replace(SETTINGS, temperature=temperature)
    cooler = dataclasses.replace(decoder, settings=settings)

    @jax.jit
    def residuals(key):
        mean = decoder.means(params, z)["b"]
        return [d.draw(params, key, z, ("b",))["b"] - mean for d in (decoder, cooler)]

    full, less = jax.device_get(residuals(jax.random.key(2)))
    np.testing.assert_allclose(less, temperature * full, atol=1e-5)


def test_draws_know_of_z_what_its_mean_does_not_tell(fresh):
    method, params, z = fresh
    known = KnownMeans(method.diffusion_decoder.joint.views)
    decoder = dataclasses.replace(method.diffusion_decoder, joint=known)
    trained = {"joint": {}, STAGE: random_like(params[STAGE], seed=1)}

    @jax.jit
    def ask(latents):
        drawn = decoder.draw(trained, jax.random.key(2), latents, ("b",))
        return decoder.means(trained, latents)["b"], drawn["b"]

    means, drawn = zip(
        *(jax.device_get(ask(latents)) for latents in (10 * z, 10 * z[:, ::-1])),
        strict=True,
    )
    np.testing.assert_allclose(*means, atol=1e-6)
    inside = (drawn[0] > 0) & (drawn[0] < 1)
    assert inside.mean() > 0.25
    assert (np.abs(drawn[0] - drawn[1]) > 1e-4)[inside].mean() > 0.8


def test_every_denoiser_learns_from_its_own_modality_alone(fresh):
    method, params, _ = fresh
    known = KnownMeans(method.diffusion_decoder.joint.views)
    decoder = dataclasses.replace(method.diffusion_decoder, joint=known)
    views = {m: jnp.full((8, *shape), 0.9) for m, shape in SHAPES.items()}
    views["z"] = jnp.zeros((8, 2))
    gradient = jax.jit(
        jax.grad(
            lambda p, v: decoder.loss(p, {"joint": {}}, jax.random.key(1), Batch(v))[0]
        )
    )
    before = gradient(params[STAGE], views)
    after = gradient(params[STAGE], views | {"a": views["a"] - 0.3})
    before, after = jax.device_get((before, after))
    assert max(np.abs(g).max() for g in jax.tree.leaves(before["b"])) > 0
    jax.tree.map(np.testing.assert_array_equal, before["b"], after["b"])
    one, other = (
        np.concatenate([g.ravel() for g in jax.tree.leaves(gradient["a"])])
        for gradient in (before, after)
    )
    assert np.linalg.norm(one) != np.linalg.norm(other)


def test_what_is_refused():
    with pytest.raises(ValueError, match="`denoiser` is not for 'mmvae_plus'"):
        make(name="mmvae_plus")
    with pytest.raises(ValueError, match=r"`denoiser` is for pictures \[H, W, C\]"):
        make(shapes={"a": (3,), "b": (2,)})
    bad = DenoiserSettings((), 0, 0.0, 0.0, 0.0, num_steps=0, temperature=-1.0)
    assert options.faults(bad, "denoiser") == [
        "`denoiser.features` is (), expected a tuple of one or more integers >= 1",
        "`denoiser.num_blocks` is 0, expected >= 1",
        "`denoiser.residual_scale` is 0.0, expected > 0",
        "`denoiser.beta_min` is 0.0, expected > 0",
        "`denoiser.beta_max` is 0.0, expected > 0",
        "`denoiser.num_steps` is 0, expected >= 1",
        "`denoiser.temperature` is -1.0, expected >= 0",
        "`denoiser.beta_max` is 0.0, expected > `beta_min` = 0.0",
    ]
