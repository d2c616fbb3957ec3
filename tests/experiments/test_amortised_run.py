"""A run whose subsets are amortised: from config to record, and what is refused."""

import numpy as np
import pytest
from tiny import tiny_config

import jnf_jax
from jnf_jax.experiments import config_files, experiment
from jnf_jax.experiments.config import resolve
from jnf_jax.experiments.run import train_and_evaluate

pytestmark = pytest.mark.usefixtures("user_cache")


def amortised(**changes):
    own = dict(
        stages="joint,subsets",
        subset_posterior__name="amortised",
        subset_posterior__num_components=3,
        subset_posterior__hidden_sizes=(8,),
        flow__context_size=4,
        subsets=dict(num_steps=20, batch_size=16),
    )
    return tiny_config(**own | changes)


@pytest.fixture(scope="module")
def run(user_cache, tmp_path_factory):
    """A workdir, trained and evaluated; its record."""
    workdir = tmp_path_factory.mktemp("amortised")
    about = dict(config_name="digits/jnf", command="python -m …")
    return workdir, train_and_evaluate(amortised(), workdir, **about)


def test_a_run_ends_in_a_record_without_chains(run):
    workdir, record = run
    assert record["sampler"] == {} and set(record["coherence"]["conditional"]) == {
        "1",
        "2",
    }
    assert set(record["coherence"]["joint"]) == {"normal", "amortised"}
    densities = record["subset_log_prob"]
    assert set(densities) == {"", "m0", "m1", "m2", "m0+m1", "m0+m2", "m1+m2"}
    # One z a tuple for both, and one density: the same numbers twice.
    assert record["unimodal_log_prob"] == pytest.approx(
        {m: densities[m] for m in ("m0", "m1", "m2")}, rel=1e-5
    )
    for name in ("any_to_any.png", "unconditional_amortised.png"):
        assert (workdir / "samples" / name).stat().st_size > 0


def test_the_front_door_opens_it(run):
    """Draws of a row depend on no other row, and chains need no calibration."""
    model = jnf_jax.load(run[0])
    rng = np.random.default_rng(0)
    x = rng.random((3, 8, 8, 3), np.float32)
    drawn = model.generate({"m0": x}, num_samples=2, seed=1)
    assert {m: a.shape for m, a in drawn.items()} == dict.fromkeys(
        ("m1", "m2"), (2, 3, 8, 8, 3)
    )
    alone = model.generate({"m0": x[:1]}, num_samples=2, seed=1)
    np.testing.assert_allclose(drawn["m1"][:, :1], alone["m1"], atol=1e-5)
    views = {m: rng.random((3, 8, 8, 3), np.float32) for m in ("m0", "m1", "m2")}
    assert np.isfinite(model.log_likelihood_bound(views, num_samples=16)).all()
    assert model.sample(2, prior="amortised")["m0"].shape == (2, 8, 8, 3)


def test_joint_draws_alone_need_its_stage_too():
    """For q(z|∅), the prior "amortised", is drawn from as well."""
    config = amortised()
    config.evaluation.subsets = "none"
    setup = experiment.open_experiment(config)
    found = [stage.name for stage in experiment.evaluated_stages(setup)]
    assert found == ["joint", "subsets"]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("digits/jnf_shared_amortised:cl", ["shared", "joint", "subsets"]),
        ("digits/jnf_shared:cl", ["joint"]),
        ("digits/mld", ["autoencoders", "joint"]),
    ],
)
def test_joint_draws_alone_need_what_their_stages_need(name, read):
    config = config_files.load_config(name)
    config.evaluation.subsets = "none"
    stages = experiment.evaluated_stages(experiment.open_experiment(config))
    assert [stage.name for stage in stages] == read


def test_its_stage_says_what_it_reads():
    setup = experiment.open_experiment(amortised())
    joint, subsets = setup.method.stages
    assert (joint.name, subsets.name) == ("joint", "subsets")
    # JNF's own joint stage: its checkpoints serve products and amortised flows alike.
    product = experiment.open_experiment(tiny_config())
    assert experiment.stage_identity(setup, joint, {}) == experiment.stage_identity(
        product, product.method.stages[0], {}
    )
    identity = experiment.stage_identity(setup, subsets, {"joint": "x"})
    other = experiment.open_experiment(amortised(subset_posterior__num_components=4))
    assert identity != experiment.stage_identity(
        other, other.method.stages[1], {"joint": "x"}
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(stages="joint,unimodal"), "`stages` has 'unimodal', expected one of"),
        (dict(init__unimodal="x"), "`init.unimodal` is unknown"),
        (dict(sampler__defensive_weight=0.1), "nothing is divided"),
        (dict(subset_posterior__num_components=0), "is 0, expected >= 1"),
        (
            dict(method="jmvae", stages="joint"),
            "expected 'product' with method 'jmvae'",
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(changes, told):
    with pytest.raises(ValueError, match="(?s)" + told.replace(".", r"\.")):
        experiment.open_experiment(amortised(**changes))


def test_a_config_may_say_how_it_would_train_the_other_posterior():
    assert set(resolve(amortised()).training) == {"joint", "subsets"}
    changed = amortised(subset_posterior__name="product", stages="joint,unimodal")
    assert set(resolve(changed).training) == {"joint", "unimodal"}
