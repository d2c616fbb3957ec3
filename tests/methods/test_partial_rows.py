"""Rows that lack views: no view that is not there changes a loss or a gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like

from jnf_jax.data.dataset import Dataset, Split
from jnf_jax.experiments.experiment import (
    check_partial_rows,
    never_trained,
    warning_of,
)
from jnf_jax.losses import hide_absent
from jnf_jax.methods.amortised import SubsetPosteriorSettings
from jnf_jax.methods.jnf_shared import ProjectorSettings
from jnf_jax.methods.joint_vae import mean_where_present
from jnf_jax.methods.method import Batch
from jnf_jax.methods.mld import MldSettings
from jnf_jax.methods.mmvae_plus import ExpertSettings
from jnf_jax.methods.product import Quotient
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (3,), "b": (2, 2), "c": (5,)}
PRESENT = {
    "a": jnp.array([True, True, False, True]),
    "b": jnp.array([True, False, True, False]),
    "c": jnp.array([True, True, True, False]),
}
MODEL = ModelSettings(
    2,
    {"default": NetworkSettings("mlp", hidden_sizes=(8,))},
    {"default": LikelihoodSettings("normal", 0.5)},
    joint_hidden_sizes=(8,),
    head_size=4,
    partial_rows=True,
)


def make(name, subset_posterior="product", model=MODEL, **options):
    own = SubsetPosteriorSettings(subset_posterior, 3, (8,))
    if subset_posterior == "linear":
        own = SubsetPosteriorSettings("amortised", 3, (8,), linear_path=True)
        model = dataclasses.replace(model, linear_path=True)
    if subset_posterior == "simulated":
        own = SubsetPosteriorSettings("amortised", 3, (8,), simulated_share=0.5)
    options |= {
        "subset_posterior": own,
        "experts": ExpertSettings(2, "normal", "exp"),
        "mld": MldSettings(hidden_size=8, num_layers=1),
    }
    method = build_method(
        name,
        SHAPES,
        model=model,
        flow=FlowSettings(0 if name == "jmvae" else 1, (8,)),
        sampler=ChainSettings(),
        **options,
    )
    params = {
        stage.name: random_like(jax.eval_shape(stage.init, jax.random.key(0)), seed)
        for seed, stage in enumerate(method.stages)
    }
    return method, params


def views(num=4):
    rng = np.random.default_rng(0)
    return {
        m: jnp.asarray(rng.standard_normal((num, *shape)), jnp.float32)
        for m, shape in SHAPES.items()
    }


def loss_of(stage, params, views, present):
    """The stage's loss and gradient at ``views`` of which rows have ``present``."""
    masks = () if present is None else (present,)
    cached = stage.cache(params, views, *masks) if stage.cache else None
    frozen = params if stage.reads_frozen else None

    def loss(own):
        batch = Batch(views, cached, present)
        return stage.loss(own, frozen, jax.random.key(1), batch)[0]

    return jax.jit(jax.value_and_grad(loss))(params[stage.name])


STAGES = [
    ("jnf", "product", "joint"),
    ("jnf", "product", "unimodal"),
    ("jnf", "amortised", "subsets"),
    ("jnf", "simulated", "subsets"),
    ("jnf", "linear", "joint"),
    ("jnf", "linear", "subsets"),
    ("jmvae", "product", "joint"),
    ("mmvae_plus", "product", "joint"),
    ("mld", "product", "autoencoders"),
    ("mld", "product", "joint"),
]


@pytest.mark.parametrize(("name", "posterior", "stage"), STAGES)
def test_masks_of_ones_change_nothing(name, posterior, stage):
    method, params = make(name, posterior)
    (stage,) = [s for s in method.stages if s.name == stage]
    ones = {m: jnp.ones(4, bool) for m in SHAPES}
    plain, _ = loss_of(stage, params, views(), None)
    masked, _ = loss_of(stage, params, views(), ones)
    np.testing.assert_allclose(masked, plain, rtol=1e-6)


@pytest.mark.parametrize("filling", [7.0, np.nan])
@pytest.mark.parametrize(("name", "posterior", "stage"), STAGES)
def test_views_that_are_not_there_change_neither_loss_nor_gradient(
    name, posterior, stage, filling
):
    method, params = make(name, posterior)
    (stage,) = [s for s in method.stages if s.name == stage]
    zeros = hide_absent(views(), PRESENT)
    others = {
        m: jnp.where(PRESENT[m].reshape(-1, *[1] * (x.ndim - 1)), x, filling)
        for m, x in views().items()
    }
    (loss, gradient), (again, other) = (
        loss_of(stage, params, x, PRESENT) for x in (zeros, others)
    )
    np.testing.assert_allclose(again, loss, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        gradient,
        other,
    )
    # And a mask is no row of zeros: without it the loss is another.
    unmasked, _ = loss_of(stage, params, zeros, None)
    assert abs(unmasked - loss) > 1e-3


def test_parameters_are_those_of_before_and_a_vector_a_view():
    def shapes(model):
        stage = make("jnf", model=model)[0].stages[0]
        found = jax.eval_shape(stage.init, jax.random.key(0))["encoder"]
        return {m: jax.tree.map(jnp.shape, x) for m, x in found.items()}

    before = shapes(dataclasses.replace(MODEL, partial_rows=False))
    assert shapes(MODEL) == before | {f"absent_{m}": (4,) for m in SHAPES}


@pytest.mark.parametrize(
    ("name", "options", "got"),
    [
        (
            "jnf_shared",
            {"projectors": ProjectorSettings("nt_xent", 4)},
            "method 'jnf_shared'",
        ),
    ],
)
def test_methods_that_need_whole_rows_say_so(name, options, got):
    with pytest.raises(ValueError, match="`model.partial_rows` is True.*" + got):
        make(name, quotient=Quotient(), **options)


def test_a_term_is_averaged_over_the_rows_that_have_it():
    x = jnp.array([2.0, 4.0, 0.0, 6.0])  # 0 where the view is not there
    assert mean_where_present(x, "a", PRESENT) == 4.0
    assert mean_where_present(x, "a", None) == 3.0
    nowhere = {"a": jnp.zeros(4, bool)}
    assert mean_where_present(jnp.zeros(4), "a", nowhere) == 0.0


@pytest.mark.parametrize(
    ("has_b", "partial_rows", "told"),
    [
        (
            [False, True, False],
            False,
            "`model.partial_rows` is False, expected True: 2",
        ),
        ([False, False, False], True, "no training row of 'x' has two views, expected"),
    ],
)
def test_rows_that_cannot_be_learnt_from_are_refused(has_b, partial_rows, told):
    present = {"a": np.ones(3, bool), "b": np.array(has_b)}
    splits = {"train": Split({}, 3, None, present=present)}
    shapes = {"a": (2,), "b": (2,)}
    data = Dataset("x", shapes, splits, lambda arrays, rows: {}, None, {})
    model = dataclasses.replace(MODEL, partial_rows=partial_rows)
    with pytest.raises(ValueError, match=told):
        check_partial_rows(model, data)


def test_subsets_that_no_row_has_beside_another_view_were_never_trained():
    """Rows of {a, b}, {b, c}, {a, c, d}: S is learnt where a row has S and more."""
    has = {"a": [1, 0, 1], "b": [1, 1, 0], "c": [0, 1, 1], "d": [0, 0, 1]}
    present = {m: np.array(of, bool) for m, of in has.items()}
    asked = [
        tuple(s) for s in ("a", "b", "c", "d", "ab", "ac", "ad", "bc", "cd", "abc")
    ]
    for mask, wrong in (
        (present, [tuple(s) for s in ("ab", "bc", "abc")]),
        (None, []),
    ):
        data = Dataset(
            name="some",
            shapes={m: (1,) for m in has},
            splits={"train": Split({}, 3, None, present=mask)},
            fetch=lambda arrays, rows: {},
            num_classes=None,
            record={"checksums": {}},
        )
        assert never_trained(data, asked) == wrong


@pytest.mark.parametrize(
    ("is_simulated", "how"),
    [
        (False, "was never trained"),
        (True, "was trained on rows that the decoders drew"),
    ],
)
def test_a_warning_says_what_such_subsets_were_trained_on(is_simulated, how):
    present = {m: np.array(of, bool) for m, of in (("a", [1, 0]), ("b", [1, 1]))}
    data = Dataset(
        name="some",
        shapes={"a": (1,), "b": (1,)},
        splits={"train": Split({}, 2, None, present=present)},
        fetch=lambda arrays, rows: {},
        num_classes=None,
        record={"checksums": {}},
    )
    assert warning_of(data, [("a",), ("b",)], is_simulated) == ""
    line = warning_of(data, [("a",), ("a", "b")], is_simulated)
    assert line.startswith("warning: no training row has a+b and another view")
    assert how in line and line.endswith("; rows there were for a")
