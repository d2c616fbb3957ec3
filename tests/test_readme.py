"""README's Python runs as printed."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120


def test_fit_generate_save_and_load_run_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(BLOCKS[0], names)
    assert names["colours"].shape == (8, 5, 7)
    assert {m: x.shape for m, x in names["wines"].items()} == {
        "acids": (64, 6),
        "colours": (64, 7),
    }
    given = {"acids": names["views"]["acids"][:5]}
    again = names["again"].generate(given, num_samples=8)["colours"]
    assert (again == names["colours"]).all()


def test_the_loss_alone_runs_as_printed():
    import distrax

    from jnf_jax.priors.normal import NormalPrior

    def normal(mean):
        return distrax.MultivariateNormalDiag(mean, jnp.ones_like(mean))

    names = {
        "params": jnp.eye(2),
        "rng_key": jax.random.key(0),
        "batch": {"a": jnp.ones((3, 2))},
        "encode": lambda params, views: normal(views["a"] @ params),
        "decode": lambda params, z: {"a": normal(z @ params)},
        "prior": lambda params: NormalPrior(2),
    }
    exec(BLOCKS[1], names)
    # KL(N(1, I) ‖ N(0, I)) is |1|²/2 = 1 nat.
    assert jnp.allclose(names["terms"].log_ratio, 1.0)
    assert names["loss"].shape == ()
