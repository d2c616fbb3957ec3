"""The modules that a reader passes from the program to the loss of a training step."""

import inspect
import traceback

import pytest
from tiny import tiny_config

from jnf_jax import train
from jnf_jax.experiments.run import train_and_evaluate
from jnf_jax.methods import joint_vae


class Reached(Exception):
    """Ends the run where the loss is traced."""


def test_at_most_six_modules_lie_between_the_program_and_the_loss(
    tmp_path, monkeypatch
):
    passed, elbo = [], joint_vae.joint_elbo

    def objective(*args, **options):
        found = [f.f_globals["__name__"] for f, _ in traceback.walk_stack(None)]
        if "jnf_jax.experiments.dry_run" in found:  # no step: the loss on shapes
            return elbo(*args, **options)
        passed.extend(m for m in dict.fromkeys(found) if m.startswith("jnf_jax."))
        raise Reached

    monkeypatch.setattr(joint_vae, "joint_elbo", objective)
    with pytest.raises(Reached):
        train_and_evaluate(tiny_config(), tmp_path, with_evaluation=False)
    program = inspect.getsource(train)
    assert "from jnf_jax.experiments.run import train_and_evaluate" in program
    assert passed[::-1] == [
        "jnf_jax.experiments.run",
        "jnf_jax.training.trainer",
        "jnf_jax.training.stage_run",
        "jnf_jax.training.train_step",
        "jnf_jax.methods.joint_vae",
    ]
    assert len(passed) <= 6
