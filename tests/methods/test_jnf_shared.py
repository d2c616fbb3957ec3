"""JNF-Shared: projectors find what is shared, and experts see nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnf_jax import options
from jnf_jax.methods.jnf_shared import MIN_TEMPERATURE, ProjectorSettings
from jnf_jax.methods.method import Batch
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import (
    FlowSettings,
    LikelihoodSettings,
    ModelSettings,
)
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.runtime import parallel
from jnf_jax.sampling import ChainSettings

KEY = jax.random.key(9)  # for losses that draw nothing
SHAPES = {"a": (6,), "b": (4,)}
DCCA = ProjectorSettings("dcca", 1, posterior_hidden_sizes=(8,))
NT_XENT = ProjectorSettings("nt_xent", 2, base_size=8, posterior_hidden_sizes=(8,))
INFO_NCE = dataclasses.replace(NT_XENT, objective="info_nce")


def make(projectors, name="jnf_shared"):
    return build_method(
        name,
        SHAPES,
        model=ModelSettings(
            2,
            {"default": NetworkSettings("mlp", hidden_sizes=(16,))},
            {"default": LikelihoodSettings("normal", 0.5)},
        ),
        flow=FlowSettings(num_blocks=1, hidden_sizes=(8,)),
        sampler=ChainSettings(num_transitions=5, num_adaptation=5),
        projectors=projectors,
    )


def fresh_params(method):
    def init(key):
        keys = jax.random.split(key, len(method.stages))
        return {s.name: s.init(k) for s, k in zip(method.stages, keys, strict=True)}

    return jax.jit(init)(jax.random.key(0))


def views_with_a_shared_bit(seed, *size):
    """One coordinate of each modality says the bit; the others are private."""
    rng = np.random.default_rng(seed)
    bit = rng.random(size) < 0.5
    views = {}
    for m, shape in SHAPES.items():
        x = rng.standard_normal((*size, *shape))
        x[..., 0] = 2.0 * bit - 1.0
        views[m] = jnp.asarray(x, jnp.float32)
    return views, bit


@pytest.mark.parametrize("projectors", [DCCA, NT_XENT, INFO_NCE])
def test_projectors_find_the_shared_bit(projectors):
    method = make(projectors)
    stage, optimizer = method.stages[0], optax.adam(1e-2)

    @jax.jit
    def train(params, batches):
        def step(carry, views):
            params, state = carry
            batch = Batch(views)
            gradient = jax.grad(lambda p: stage.loss(p, None, KEY, batch)[0])
            updates, state = optimizer.update(gradient(params), state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), batches)[0][0]

    params = fresh_params(method)
    batches, _ = views_with_a_shared_bit(0, 300, 128)
    params = params | {"shared": train(params["shared"], batches)}
    views, bit = views_with_a_shared_bit(1, 500)
    cached = jax.device_get(jax.jit(method.stages[-1].cache)(params, views))
    embeddings = cached["embeddings"]
    for h in embeddings.values():
        # Along the line between the bits' means, as a linear reader would see it.
        across = h[bit].mean(0) - h[~bit].mean(0)
        score = h @ across
        found = score > (score[bit].mean() + score[~bit].mean()) / 2
        assert (found == bit).mean() > 0.98


def test_stages():
    shared, joint, unimodal = make(NT_XENT).stages
    assert [s.name for s in (shared, joint, unimodal)] == [
        "shared",
        "joint",
        "unimodal",
    ]
    assert unimodal.needs == ("shared", "joint") and not joint.needs
    assert joint.of == "jnf" and not shared.of and not unimodal.of
    assert not unimodal.has_convolutions
    params = jax.eval_shape(lambda: fresh_params(make(NT_XENT)))
    jnf_params = jax.eval_shape(lambda: fresh_params(make(None, "jnf")))
    assert jax.tree.structure(params["joint"]) == jax.tree.structure(
        jnf_params["joint"]
    )
    assert set(params["unimodal"]["a"]) == {"encoder", "flow"}


def test_a_head_is_shared_by_contrastive_projectors_only():
    contrastive = jax.eval_shape(make(NT_XENT).stages[0].init, KEY)
    assert set(contrastive) == {"projectors", "head"}
    assert all("head" not in own for own in contrastive["projectors"].values())
    dcca = jax.eval_shape(make(DCCA).stages[0].init, KEY)
    assert set(dcca) == {"projectors"}


@pytest.mark.parametrize("projectors", [DCCA, NT_XENT])
def test_stage_two_on_cached_embeddings_is_what_inference_does_with_pixels(projectors):
    method = make(projectors)
    params, unimodal = fresh_params(method), method.stages[-1]
    views, _ = views_with_a_shared_bit(3, 7)
    cached = jax.jit(unimodal.cache)(params, views)
    if projectors is NT_XENT:
        norms = np.linalg.norm(cached["embeddings"]["a"], axis=-1)
        np.testing.assert_allclose(norms, 1.0, rtol=1e-5)
    rng_key = jax.random.key(4)

    @jax.jit
    def ask(params, rng_key):
        # No pixels: the cache is all that is read.
        batch = Batch({}, cached)
        _, metrics = unimodal.loss(params["unimodal"], None, rng_key, batch)
        noise = jax.random.normal(rng_key, (1, 7, 2))[0]
        z = cached["mean"] + cached["scale"] * noise
        return metrics, method.inference.unimodal_log_probs(params, views, z)

    metrics, log_probs = jax.device_get(ask(params, rng_key))
    for m in SHAPES:
        np.testing.assert_allclose(metrics[f"nll/{m}"], -log_probs[m].mean(), rtol=1e-5)


def test_a_learnt_temperature_has_a_gradient_and_a_floor():
    stage = make(dataclasses.replace(NT_XENT, learns_temperature=True)).stages[0]
    params = jax.jit(stage.init)(jax.random.key(0))
    above = np.exp(params["log_temperature"])
    np.testing.assert_allclose(above, 0.1 - MIN_TEMPERATURE, rtol=1e-6)
    batch = Batch(views_with_a_shared_bit(1, 16)[0])
    differentiate = jax.jit(jax.grad(stage.loss, has_aux=True))
    gradient, metrics = differentiate(params, None, KEY, batch)
    assert abs(gradient["log_temperature"]) > 0
    np.testing.assert_allclose(metrics["temperature"], 0.1, rtol=1e-6)
    # Near the floor it can still rise.
    cold = params | {"log_temperature": jnp.float32(-10.0)}
    gradient, metrics = differentiate(cold, None, KEY, batch)
    np.testing.assert_allclose(metrics["temperature"], MIN_TEMPERATURE, rtol=0.01)
    assert abs(gradient["log_temperature"]) > 0
    frozen = dataclasses.replace(NT_XENT, learns_temperature=True, temperature=0.01)
    assert options.faults(frozen, "projectors") == [
        "`projectors.temperature` is 0.01, expected > 0.01 where it is learnt"
    ]


def test_dcca_sums_as_many_correlations_as_are_asked():
    """0 asks for all; each adds less than the one before."""
    batch = Batch(views_with_a_shared_bit(1, 200)[0])
    losses = []
    for num_correlations in (1, 2, 0):
        settings = dataclasses.replace(DCCA, size=3, num_correlations=num_correlations)
        stage = make(settings).stages[0]
        params = jax.jit(stage.init)(jax.random.key(0))
        loss, metrics = jax.device_get(jax.jit(stage.loss)(params, None, KEY, batch))
        count = num_correlations or 3
        np.testing.assert_allclose(
            metrics["mean_correlation"], -loss / count, rtol=1e-6
        )
        assert 0 < metrics["mean_correlation"] < 1
        losses.append(loss)
    assert losses[0] > losses[1] > losses[2]


def test_faults_are_all_told():
    bad = ProjectorSettings(
        "cca", 0, base_size=0, temperature=0.0, num_correlations=3, ridge=0.0,
        posterior_hidden_sizes=(),
    )  # fmt: skip
    fields = [fault.split("`")[1] for fault in options.faults(bad, "projectors")]
    names = ("objective", "size", "base_size", "temperature", "num_correlations")
    names += ("ridge", "posterior_hidden_sizes")
    assert sorted(set(fields)) == sorted(f"projectors.{name}" for name in names)
    assert not options.faults(DCCA) and not options.faults(NT_XENT)
    (fault,) = DCCA.batch_faults(2, "`shared.batch_size` is 2")
    assert "`shared.batch_size` is 2, expected more than" in fault
    assert not DCCA.batch_faults(3, "") and not NT_XENT.batch_faults(2, "")
    for contrastive in (NT_XENT, INFO_NCE):
        (fault,) = contrastive.batch_faults(1, "`shared.batch_size` is 1")
        assert fault.startswith("`shared.batch_size` is 1, expected 2 or more")
    with pytest.raises(ValueError, match="`projectors.objective` is missing"):
        make(None)


@pytest.mark.multidevice
@pytest.mark.skipif(jax.device_count() < 8, reason="needs eight (virtual) devices")
@pytest.mark.parametrize("projectors", [DCCA, NT_XENT, INFO_NCE])
def test_the_loss_is_of_the_whole_batch_on_any_devices(projectors):
    stage = make(projectors).stages[0]
    params = jax.jit(stage.init)(KEY)
    batch = Batch(views_with_a_shared_bit(0, 64)[0])

    @jax.jit
    def loss_and_gradient(params, batch):
        loss = lambda p: stage.loss(p, None, KEY, batch)[0]  # noqa: E731
        return jax.value_and_grad(loss)(params)

    mesh = parallel.make_mesh()
    spread = loss_and_gradient(
        parallel.put(params, parallel.replicated(mesh)),
        parallel.put_batch(batch, mesh),
    )
    whole = loss_and_gradient(params, batch)
    np.testing.assert_allclose(spread[0], whole[0], rtol=1e-5)
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(whole[1]))
    assert largest > 1e-3
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * largest),
        spread[1],
        whole[1],
    )
    # A mean over devices of what each finds in its own rows is something else.
    parts = [jax.tree.map(lambda x, k=k: x[k::8], batch) for k in range(8)]
    apart = np.mean([loss_and_gradient(params, part)[0] for part in parts])
    assert abs(apart - whole[0]) > 1e-3  # a hundred times what rounding may do
