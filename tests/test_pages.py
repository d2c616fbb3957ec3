"""Python on pages of docs runs as printed, examples run small, links lead somewhere.

README's and docs/extending.md's have tests of their own.
"""

import importlib.util
import re
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import jnf_jax
from jnf_jax import api
from jnf_jax.experiments import new_rows
from jnf_jax.experiments.config import resolve

ROOT = Path(__file__).parents[1]
LINKING = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "launch/README.md"]
)
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.M | re.S)
RUN = [
    path
    for path in sorted((ROOT / "docs").glob("*.md"))
    if path.name != "extending.md" and BLOCK.search(path.read_text("utf-8"))
]


@pytest.mark.parametrize("path", LINKING, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text("utf-8"))
    local = [link for link in links if not link.startswith("http")]
    assert not [link for link in local if not (path.parent / link).exists()]


class Resolved(Exception):
    """A config that ``fit`` was about to train."""


@pytest.mark.parametrize("path", RUN, ids=lambda p: p.name)
def test_a_page_runs_as_it_is_printed(path, tmp_path, monkeypatch):
    """All but the training: ``fit`` writes the data and resolves the config.

    What it gives knows a model's methods and what these take; README's is trained.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", mock.MagicMock())
    model, fit, trained = mock.create_autospec(api.Model, instance=True), api.fit, []
    chains = new_rows.Chains(np.array([[0.8]]), np.array([[0]]), np.array([[1.0]]))
    model.generate_and_judge.return_value = {"c": np.zeros((1, 1, 2))}, chains

    def resolve_only(config, *arguments, **about):
        raise Resolved(resolve(config))

    def fit_nothing(*arguments, **options):
        with pytest.raises(Resolved) as raised:
            fit(*arguments, **options)
        trained.append(raised.value.args[0])
        return model

    monkeypatch.setattr(api, "train_and_evaluate", resolve_only)
    monkeypatch.setattr(api, "fit", fit_nothing)
    monkeypatch.setattr(api, "load", mock.create_autospec(api.load, return_value=model))
    views = {m: np.random.default_rng(0).normal(size=(40, 2)) for m in "abc"}
    given = dict.fromkeys(("views", "rows", "partial", "held_out"), views)
    names = {"jnf_jax": jnf_jax, "model": model, "labels": np.arange(40) % 2, **given}
    for block in BLOCK.findall(path.read_text("utf-8")):
        exec(compile(block, path.name, "exec"), names)
    if path.name == "index.md":
        assert trained[0].model.latent_dim == 2
        (given,), options = model.generate.call_args
        assert given["shadow"].shape == (5, 1) and options == {"num_samples": 100}
    if path.name == "diagnostics.md":
        assert names["trusted"].all()


# --- examples with pictures ----------------------------------------------------------


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"examples/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_forked_loss_reaches_the_best_likelihood_and_frees_bits(tmp_path):
    module = example("forked_loss")
    best, found = module.main(tmp_path / "a.png", num_rows=500, num_steps=1_000)
    bound, nats = found["joint_elbo"]
    free_bound, free_nats = found["free bits"]
    # Means of 100 steps with one draw a row: their standard error is about 0.01.
    assert best - 0.3 < bound[-100:].mean() < best + 0.05
    assert free_bound[-100:].mean() < bound[-100:].mean()
    # Two causes: the other latents are off, unless their bits are free.
    assert nats[1] > 1 and nats[2] < 0.15
    assert (free_nats > 0.9 * module.FREE).all()
    assert (tmp_path / "a.png").stat().st_size > 1_000


def test_the_forked_loss_needs_no_more_than_the_losses():
    text = (ROOT / "examples/forked_loss.py").read_text("utf-8")
    assert set(re.findall(r"jnf_jax[\w.]*", text)) == {"jnf_jax.losses"}


def test_the_grid_is_exact_where_the_answer_is_known():
    """x_m = z_m + noise: p(z_m|x_m) is N(x_m / (1 + s²), s² / (1 + s²))."""
    import distrax
    import jax.numpy as jnp

    module, s = example("subset_posteriors"), 0.5

    def decode(z):
        scale = jnp.full(1, s)
        normal = distrax.MultivariateNormalDiag
        return {"u": normal(z[:, :1], scale), "v": normal(z[:, 1:], scale)}

    density = module.posterior_on_grid(decode, {"u": jnp.array([[1.0]])})
    axis = np.linspace(-module.EDGE, module.EDGE, module.NUM_GRID)
    u, v = density.sum(axis=0), density.sum(axis=1)
    # Off by the cells' size and by what the edges cut off.
    assert u @ axis == pytest.approx(1 / (1 + s**2), abs=0.01)
    assert u @ axis**2 - (u @ axis) ** 2 == pytest.approx(s**2 / (1 + s**2), rel=0.01)
    assert v @ axis**2 == pytest.approx(1.0, abs=0.05)
    # Of exact draws the region of 90 % holds 90 %: standard error 0.005.
    rng = np.random.default_rng(0)
    cells = rng.choice(density.size, 4_000, p=density.ravel())
    z = np.stack([axis[cells % module.NUM_GRID], axis[cells // module.NUM_GRID]], 1)
    assert module.coverage(density, z) == pytest.approx(0.9, abs=0.02)
    assert module.coverage(density, 0 * z) == 1.0  # too narrow, in the middle


@pytest.mark.usefixtures("user_cache")
def test_posteriors_of_subsets_are_drawn(tmp_path):
    module = example("subset_posteriors")
    brief = {"joint.num_steps": 3, "unimodal.num_steps": 3, "flow.num_blocks": 1}
    brief |= {"sampler.num_transitions": 2, "sampler.num_adaptation": 2}
    found = module.main(tmp_path, tmp_path / "a.png", size=100, overrides=brief)
    assert set(found) == {
        (subset, name) for subset in module.SUBSETS for name in ("product", "amortised")
    }
    assert all(0 <= share <= 1 for share in found.values())
    assert (tmp_path / "a.png").stat().st_size > 1_000
