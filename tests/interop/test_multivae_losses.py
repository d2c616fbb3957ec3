"""Training losses and their gradients beside MultiVae's: same weights, data and noise.

mmJSD is not here: MultiVae 1.0.3 has none. Where ours differs on purpose docs/math.md
says so, and is told here to do what theirs does.
"""

import sys

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import losses
from jnf_jax.data import torch_file
from jnf_jax.flows import flow_posterior
from jnf_jax.interop import multivae
from jnf_jax.methods.method import Batch
from jnf_jax.priors.laplace import LaplacePrior

ORDER = ("photo", "assay", "caption")  # theirs; ours is sorted
KEY = jax.random.key(0)


class Noise:
    """Draws of distrax and of Laplace priors are ``loc + scale * noise``, given."""

    def __init__(self, monkeypatch):
        self.given: list[np.ndarray] = []
        monkeypatch.setattr(distrax.Distribution, "sample", self._sampler())
        monkeypatch.setattr(LaplacePrior, "sample", self._prior_sampler())

    def _next(self, shape):
        noise = self.given.pop(0)
        assert noise.shape == shape
        return noise

    def _sampler(noise):
        def sample(self, *, seed, sample_shape=()):
            is_normal = isinstance(self, distrax.MultivariateNormalDiag)
            of = self if is_normal else self.distribution
            scale = of.scale_diag if is_normal else of.scale
            shape = (sample_shape,) if isinstance(sample_shape, int) else sample_shape
            return of.loc + scale * noise._next((*shape, *of.loc.shape))

        return sample

    def _prior_sampler(noise):
        def sample(self, rng_key, num_samples):
            return noise._next((num_samples, self.latent_size)) * self.scale

        return sample


@pytest.fixture
def noise(monkeypatch):
    return Noise(monkeypatch)


def drawn(arrays, case):
    """What theirs drew, in its order."""
    found = []
    while (name := f"{case}/noise/{len(found)}") in arrays:
        found.append(arrays[name])
    return found


def as_ours(case, given, monkeypatch):
    """Their noise in the order in which ours asks for it; other choices are theirs."""
    by_view = dict(zip(ORDER, given, strict=False))
    module = sys.modules.get(f"jnf_jax.losses.{case}")
    ordered = [by_view[m] for m in sorted(ORDER)] if len(given) > 2 else []
    if case == "mvae":  # the joint draw comes first, the random subset's last
        own = dict(zip(ORDER, given[1:4], strict=True))
        subset = {m: jnp.full(8, m != "assay") for m in ORDER}
        monkeypatch.setattr(module, "random_subsets", lambda *_: subset)
        return [given[0], *(own[m] for m in sorted(ORDER)), given[4]]
    if case == "mopoe":  # blocks of the batch, by their order of the subsets in ours
        chosen = jnp.array([2, 0, 1, 4, 5, 3, 6, 6])
        monkeypatch.setattr(module, "choose", lambda *_: chosen)
        return [np.broadcast_to(given[0], (7, *given[0].shape))]
    if case.startswith("mmvae") and case != "mmvae_plus":
        return [np.stack(ordered, axis=1)]
    if case == "mmvae_plus":  # an expert draws z, w, then w of the others
        of = {c: given[4 * i : 4 * i + 4] for i, c in enumerate(ORDER)}
        names = sorted(ORDER)

        def received(n):
            """w_c→n of every expert c; its own is none of r_n's draws."""
            others = {c: [m for m in ORDER if m != c] for c in ORDER}
            each = [
                np.zeros_like(of[c][1]) if c == n else of[c][2 + others[c].index(n)]
                for c in names
            ]
            return np.stack(each).reshape(-1, each[0].shape[-1])

        shared, private = ([of[m][i] for m in names] for i in (0, 1))
        return [*shared, *private, *map(received, names)]
    return [given[0]]


def slopes(params, gradient):
    """Σ θ ∂loss/∂θ by the names of theirs; what is constant there is left out."""

    def inner(*parts):
        a, b = params, gradient
        for part in parts:
            a, b = a[part], b[part]
        products = jax.tree.map(lambda x, y: float(np.vdot(x, y)), a, b)
        if parts[0] == "decoders" and "Dense_1" in a["MlpTrunk_0"]:
            del products["MlpTrunk_0"]["Dense_1"]  # the identity
        return sum(jax.tree.leaves(products))

    found = {f"decoders.{m}": inner("decoders", m) for m in ORDER}
    if "encoder" in params:
        found["joint_encoder"] = inner("encoder")
    found |= {f"encoders.{m}": inner("experts", m) for m in params.get("experts", ())}
    if "auxiliary" in params:
        found |= {f"logvars_priors.{m}": inner("auxiliary", m) for m in ORDER}
    if "prior" in params:
        found["prior_log_var"] = inner("prior")
    return found


def assert_slopes(found, arrays, case):
    start = f"{case}/slope/"
    wanted = {
        name.removeprefix(start): float(x)
        for name, x in arrays.items()
        if name.startswith(start)
    }
    size = max(map(abs, wanted.values()))
    assert found.keys() == wanted.keys()
    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-5 * size)


CASES = {
    "jmvae": "JMVAE",
    "mvae": "MVAE",
    "mopoe": "MoPoE",
    "mvtcae": "MVTCAE",
    "mmvae": "MMVAE",
    "mmvae_plus": "MMVAEPlus",
    "jnf_joint": "JNF",
}


@pytest.mark.parametrize("case", CASES)
def test_the_loss_of_a_stage_is_theirs(case, theirs, views, noise, monkeypatch):
    folder, arrays = theirs
    found = multivae.read(folder / CASES[case])
    (stage, *_), params = found.setup.method.stages, found.params["joint"]
    noise.given = as_ours(case, drawn(arrays, case), monkeypatch)
    learn = jax.jit(jax.value_and_grad(stage.loss, has_aux=True))
    (loss, _), gradient = learn(params, None, KEY, Batch(views))
    assert not noise.given
    assert float(loss) == pytest.approx(float(arrays[f"{case}/loss"]), rel=1e-4)
    assert_slopes(slopes(params, gradient), arrays, case)


def test_dreg_is_theirs_in_gradient_and_its_value_by_the_entropy_of_the_weights(
    theirs, views, noise, monkeypatch
):
    """Their loss is −Σ_k w_k ℓ_k; the bound Σ_k w_k ℓ_k − Σ_k w_k log w_k − log K."""
    folder, arrays = theirs
    found = multivae.read(folder / "MMVAE")
    vae = found.setup.method.inference.joint
    weights = {view.name: view.weight for view in vae.views}

    def loss(params):
        noise.given = as_ours("mmvae", drawn(arrays, "mmvae_dreg"), monkeypatch)
        terms = losses.mmvae(
            params, KEY, views, model=vae.model, likelihood_weights=weights,
            num_importance_samples=3, gradient="dreg_published",
        )  # fmt: skip
        share = 3 * terms.weights  # w of each expert's three draws
        entropy = jnp.sum(share * jnp.log(share), axis=(0, 1)) / 3
        return -jnp.mean(terms.objective), jnp.mean(entropy + jnp.log(3.0))

    params = found.params["joint"]
    learn = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, more), gradient = learn(params)
    wanted = float(arrays["mmvae_dreg/loss"])
    assert float(value - more) == pytest.approx(wanted, rel=1e-4)
    assert_slopes(slopes(params, gradient), arrays, "mmvae_dreg")


def test_stage_two_of_jnf_is_theirs(theirs, views, noise):
    """At their flows, whose masks are others, and in whose blocks all is reversed."""
    folder, arrays = theirs
    found = multivae.read(folder / "JNF")
    joint = found.setup.method.inference.joint
    state = torch_file.load_tensors(folder / "JNF" / "model.pt", "model_state_dict")
    state = {name: jnp.asarray(x) for name, x in state.items()}
    data = {m: arrays[f"data/{m}"].reshape(8, -1) for m in ORDER}

    def dense(params, name, x):
        weight = params[f"{name}.weight"]
        return x @ (weight * state.get(f"{name}.mask", 1.0)).T + params[f"{name}.bias"]

    def posterior(params, m):
        h = data[m]
        for layer in ("layers.0.0", "layers.1.0"):
            h = jax.nn.relu(dense(params, f"encoders.{m}.{layer}", h))
        mean = dense(params, f"encoders.{m}.embedding", h)
        log_variance = dense(params, f"encoders.{m}.log_var", h)
        base = distrax.MultivariateNormalDiag(mean, jnp.exp(log_variance / 2))

        def block(number):
            def conditioner(z):
                turn = slice(None, None, -1 if number % 2 else 1)
                h, name = z[..., turn], f"flows.{m}.net.{number}.net"
                layers = [n for n in state if n.startswith(name) and "weight" in n]
                for layer in (n.removesuffix(".weight") for n in layers[:-1]):
                    h = jax.nn.relu(dense(params, layer, h))
                out = dense(params, layers[-1].removesuffix(".weight"), h)
                shift, log_scale = jnp.split(out, 2, axis=-1)
                return shift[..., turn], log_scale[..., turn]

            return conditioner

        # Without our bound of the log-scale.
        return flow_posterior(base, [block(0), block(1)], max_log_scale=1e6)

    model = losses.UnimodalModel(
        joint_posterior=joint.encode,
        posteriors=lambda params, batch: {m: posterior(params, m) for m in ORDER},
    )

    def loss(params):
        noise.given = [drawn(arrays, "jnf_unimodal")[0][None]]
        terms = losses.unimodal_nll(
            params, found.params["joint"], KEY, views, model=model
        )
        return jnp.mean(terms.loss)

    learnt = {
        name: x
        for name, x in state.items()
        if name.startswith(("encoders.", "flows.")) and not name.endswith("mask")
    }
    value, gradient = jax.jit(jax.value_and_grad(loss))(learnt)
    assert float(value) == pytest.approx(float(arrays["jnf_unimodal/loss"]), rel=1e-4)
    found = {}
    for name, x in learnt.items():
        part = ".".join(name.split(".")[:2])
        found[part] = found.get(part, 0.0) + float(np.vdot(x, gradient[name]))
    assert_slopes(found, arrays, "jnf_unimodal")
