"""Views that lack single entries, NaN: these change neither a loss nor a gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like

import jnf_jax
from jnf_jax.configs.own import jnf
from jnf_jax.data import own, record_files
from jnf_jax.experiments.experiment import check_partial_entries
from jnf_jax.likelihoods import LIKELIHOODS, OfKnownEntries
from jnf_jax.methods.amortised import SubsetPosteriorSettings
from jnf_jax.methods.method import Batch
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings, build_trunk
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (3,), "b": (2, 2)}
HOLES = {
    "a": np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]], bool),
    "b": np.array([[[0, 0], [0, 1]], [[0, 0], [0, 0]], [[1, 0], [0, 0]]] * 2, bool)[:4],
}


def model(partial_entries=True):
    network = NetworkSettings("mlp", hidden_sizes=(8,), activation="identity")
    network = dataclasses.replace(network, partial_entries=partial_entries)
    return ModelSettings(
        2,
        {"default": network},
        {"default": LikelihoodSettings("normal", 0.5)},
        joint_hidden_sizes=(8,),
        head_size=4,
    )


def make(settings, **posterior):
    method = build_method(
        "jnf",
        SHAPES,
        model=settings,
        flow=FlowSettings(1, (8,)),
        sampler=ChainSettings(),
        subset_posterior=SubsetPosteriorSettings(**posterior),
    )
    return method, {
        stage.name: random_like(jax.eval_shape(stage.init, jax.random.key(0)), seed)
        for seed, stage in enumerate(method.stages)
    }


def views():
    rng = np.random.default_rng(0)
    return {
        m: jnp.asarray(rng.standard_normal((4, *s)), jnp.float32)
        for m, s in SHAPES.items()
    }


def loss_of(method, params, stage, views):
    (stage,) = [s for s in method.stages if s.name == stage]
    cached = stage.cache(params, views) if stage.cache else None

    def loss(own):
        batch = Batch(views, cached)
        return stage.loss(own, None, jax.random.key(1), batch)[0]

    return jax.jit(jax.value_and_grad(loss))(params[stage.name])


@pytest.mark.parametrize("stage", ["joint", "unimodal"])
def test_without_holes_the_loss_is_that_of_a_model_that_knows_none(stage):
    """Whose first layers lack the rows of the channels that tell of them."""
    method, params = make(model())
    plain, _ = make(model(False))
    told, _ = loss_of(method, params, stage, views())

    def without(x, like):
        if x.shape == like.shape:
            return x
        num_tokens = {3: 1, 4: 2}[len(like)]  # of "a" and of "b", flattened
        values, _ = jnp.split(x.reshape(num_tokens, -1, x.shape[-1]), 2, axis=1)
        return values.reshape(like.shape)

    like = {s.name: jax.eval_shape(s.init, jax.random.key(0)) for s in plain.stages}
    # The trunk is one module further inside: leaves are in the same order.
    leaves = [
        without(x, of)
        for x, of in zip(jax.tree.leaves(params), jax.tree.leaves(like), strict=True)
    ]
    cut = jax.tree.unflatten(jax.tree.structure(like), leaves)
    found, _ = loss_of(plain, cut, stage, views())
    np.testing.assert_allclose(told, found, rtol=1e-6)


@pytest.mark.parametrize("stage", ["joint", "unimodal"])
def test_entries_that_are_missing_have_finite_gradients_and_matter(stage):
    method, params = make(model())
    holed = {m: jnp.where(HOLES[m], jnp.nan, x) for m, x in views().items()}
    loss, gradient = loss_of(method, params, stage, holed)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((loss, gradient)))
    zeros = {m: jnp.where(HOLES[m], 0, x) for m, x in views().items()}
    assert abs(loss_of(method, params, stage, zeros)[0] - loss) > 1e-3


def test_what_an_encoder_reads():
    settings = NetworkSettings("mlp", hidden_sizes=(4,), partial_entries=True)
    trunk = build_trunk(dataclasses.replace(settings, reads="angle"))
    x = jnp.array([[0.5, jnp.nan, 2.0]])
    params = trunk.init(jax.random.key(0), x)
    (kernel,) = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    read = np.array([[np.sin(0.5), 0, np.sin(2), np.cos(0.5), 0, np.cos(2), 0, 1, 0]])
    expected = np.maximum(read @ kernel, 0)
    np.testing.assert_allclose(trunk.apply(params, x), expected, atol=1e-6)
    counts = build_trunk(dataclasses.replace(settings, reads="log1p"))
    params = counts.init(jax.random.key(0), x)
    (kernel,) = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    read = np.array([[np.log(1.5), 0, np.log(3), 0, 1, 0]])
    expected = np.maximum(read @ kernel, 0)
    np.testing.assert_allclose(counts.apply(params, x), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["normal", "laplace", "bernoulli", "pen"])
def test_the_likelihood_is_the_sum_over_what_is_known(name):
    """Of one row, whose entries are hidden one after the other."""
    rng = np.random.default_rng(1)
    output = jnp.asarray(rng.standard_normal((1, 2, 3)), jnp.float32)
    x = jnp.asarray(rng.integers(0, 2, (1, 2, 3)), jnp.float32)
    whole = LIKELIHOODS[name](output, 0.5)
    np.testing.assert_allclose(
        OfKnownEntries(whole).log_prob(x), whole.log_prob(x), rtol=1e-6
    )
    total = 0.0
    for entry in np.ndindex(2, 3):
        one = jnp.full_like(x, jnp.nan).at[(0, *entry)].set(x[(0, *entry)])
        total += OfKnownEntries(whole).log_prob(one)
    np.testing.assert_allclose(total, whole.log_prob(x), rtol=1e-5)
    assert OfKnownEntries(whole).log_prob(jnp.full_like(x, jnp.nan)) == 0


def test_a_token_with_a_hole_says_nothing():
    logits = jax.random.normal(jax.random.key(0), (1, 2, 3))
    whole = LIKELIHOODS["categorical"](logits, 1.0)
    x = jnp.eye(3)[jnp.array([[2, 0]])]
    padded, holed = x.at[0, 1].set(0), x.at[0, 1, 2].set(jnp.nan)
    np.testing.assert_allclose(
        OfKnownEntries(whole).log_prob(holed), whole.log_prob(padded), rtol=1e-6
    )


def holed_arrays(rng, size=60):
    a, counts = rng.standard_normal((size, 3)), rng.integers(0, 50, (size, 2))
    a[::4, 1], a[5] = np.nan, np.nan
    mask = np.zeros(counts.shape, bool)
    mask[3, 0] = mask[7] = True
    return {"a": a, "n": np.ma.array(counts, mask=mask)}


def test_bool_and_integers_are_of_a_kind():
    kinds = {
        "counts": np.array([[0, 3], [12, 1]]),
        "scores": np.array([[1], [5]]),
        "boolean": np.array([[True, True], [False, True]]),
        "classes": np.eye(3, dtype=int),
        None: np.array([[1990], [2020]]),
    }
    for kind, x in kinds.items():
        as_read = own.as_array(x, "x")
        assert own.kind_of(x.dtype, as_read) == kind
        assert own.kind_of(np.dtype(float), as_read) is None
    assert own.kind_of(np.dtype(int), np.array([[-1.0], [3.0]])) is None
    assert set(own.KINDS) == set(kinds) - {None} == set(jnf.LIKELIHOODS)


def test_arrays_with_holes_are_written_and_read_as_they_are(tmp_path):
    given = holed_arrays(np.random.default_rng(0))
    own.write(tmp_path / "data", given)
    found = record_files.open_dataset(tmp_path / "data")
    assert found.partial == ("a", "n")
    rows = own.split_rows(60, 0)
    for split, chosen in rows.items():
        read = found.splits[split].read(np.arange(len(chosen)))
        back = own.to_user(found, read.views)
        has = found.splits[split].present or dict.fromkeys("an", np.full(6, True))
        expected = {
            "a": given["a"][chosen],
            "n": given["n"].astype(float).filled(np.nan)[chosen],
        }
        for m, x in back.items():
            np.testing.assert_array_equal(has[m], ~np.isnan(expected[m]).all(axis=1))
            np.testing.assert_allclose(
                x[has[m]], expected[m][has[m]], rtol=1e-5, atol=1e-5
            )
    # Means are those of the known entries of training rows.
    known = given["a"][rows["train"]]
    np.testing.assert_allclose(
        found.scaling["a"].mean, np.nanmean(known, axis=0), rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"`model.networks.a.partial_entries` is Fa"):
        check_partial_entries(model(False), found)
    with pytest.raises(ValueError, match="`given.a` has nothing in row 1, expected"):
        own.to_model(found, {"a": [[1.0, np.nan, 2.0], [np.nan] * 3]}, "given")


def test_a_model_is_fit_to_holes_and_given_rows_may_have_some(tmp_path):
    rng = np.random.default_rng(0)
    few = {
        "model.latent_dim": 2,
        "joint.num_steps": 20,
        "subsets.num_steps": 20,
        "subset_posterior.hidden_sizes": (8,),
        "flow.hidden_sizes": (8,),
    }
    views = holed_arrays(rng)
    model = jnf_jax.fit(views, workdir=tmp_path / "run", overrides=few)
    a = np.array([[0.5, np.nan, 1.0], [0.5, 3.0, 1.0], [0.5, -3.0, 1.0]])
    noisy = model.generate({"a": a}, num_samples=2, noise=True)["n"]
    assert (noisy == np.rint(noisy)).all() and noisy.min() >= 0
    drawn = model.generate({"a": a}, num_samples=2)["n"]
    assert np.isfinite(drawn).all()
    # Whatever stands where a mask hides it changes nothing.
    hidden = np.ma.array(np.nan_to_num(a, nan=7.0), mask=np.isnan(a))
    masked = model.generate({"a": hidden}, num_samples=2)["n"]
    np.testing.assert_array_equal(masked, drawn)
    back = model.generate({"a": a}, ["a"], num_samples=2, noise=True)["a"]
    assert back.shape == (2, 3, 3) and np.isfinite(back).all()
    hole = {m: np.asarray(x[:1]) for m, x in views.items()}
    hole |= {"a": a[:1], "n": np.ma.array([[3, 4]], mask=[[True, False]])}
    assert np.isfinite(model.log_likelihood_bound(hole, num_samples=8)).all()
    loaded = jnf_jax.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.generate({"a": a}, num_samples=2)["n"], drawn)


def test_likelihoods_are_chosen_by_kind(tmp_path):
    rng = np.random.default_rng(0)
    views = holed_arrays(rng) | {
        "flag": rng.random((60, 2)) < 0.5,
        "group": np.eye(3, dtype=int)[rng.integers(0, 3, 60)],
        "score": np.arange(60) % 4 + 1,
    }
    own.write(tmp_path / "data", views)
    model = jnf.get_config(str(tmp_path / "data")).model
    assert {m: model.likelihoods[m].name for m in views} == {
        "a": "normal",
        "flag": "bernoulli",
        "group": "categorical",
        "n": "negative_binomial",
        "score": "ordinal",
    }
    assert model.likelihoods.score.num_classes == 5
    assert model.networks.n.reads == "log1p" and model.networks.n.partial_entries
    found = record_files.open_dataset(tmp_path / "data")
    assert set(found.scaling) == {"a"}


def test_simulated_rows_have_the_holes_of_the_rows_that_they_stand_for():
    """What is drawn has them too, in a view that may have any; nothing else differs."""
    key = jax.random.key(3)
    method, params = make(model(), name="amortised", simulated_share=0.5)
    stage = method.stages[1]
    z, cached = jnp.ones((4, 2)), {"features": {}}
    holed = {m: jnp.where(HOLES[m], jnp.nan, x) for m, x in views().items()}
    redraw = stage.loss.keywords["redraw"]
    found = redraw(params, key, Batch(holed, cached), z).cached["features"]
    whole = redraw(params, key, Batch(views(), cached), z).cached["features"]
    decoded = method.inference.joint.decode(params["joint"], z)
    for m, own_key in zip(SHAPES, jax.random.split(key, 2), strict=True):
        drawn = decoded[m].sample(seed=own_key)
        drawn = {m: jnp.where(HOLES[m], jnp.nan, drawn)}
        expected = method.inference.features(params, drawn)[m]
        np.testing.assert_allclose(found[m], expected, rtol=1e-5, atol=1e-6)
        has_any = HOLES[m].reshape(4, -1).any(axis=1)
        differs = np.abs(found[m] - whole[m]).max(axis=-1) > 1e-4
        np.testing.assert_array_equal(differs, has_any)
