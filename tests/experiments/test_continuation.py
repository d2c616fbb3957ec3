"""A run that is given more steps: its folder tells so; later stages are set aside."""

import json

import pytest
from tiny import tiny_config

from jnf_jax import checkpoint
from jnf_jax.experiments import logs
from jnf_jax.experiments.experiment import open_experiment, stage_directory
from jnf_jax.experiments.run import _set_aside

BEGUN = {"event": "start", "stage": "joint", "step": 20}
MORE = BEGUN | {"continued": [{"step": 20, "num_steps": 20}]}


def test_the_folder_tells_what_was_continued_and_by_which_command(tmp_path):
    def write(command, start):
        logs.write_config(tmp_path, {}, "digits/jnf", command, start)
        return logs.provenance(tmp_path).get("continued")

    assert write("first", BEGUN | {"step": 0}) is None
    found = write("second", MORE)
    assert write("again", MORE) == found  # it was stopped before its first checkpoint
    commit = found[0].pop("commit")
    assert commit == logs.commit()
    entry = {"stage": "joint", "step": 20, "num_steps": 20, "command": "first"}
    assert found == [entry]
    later = {"event": "start", "stage": "unimodal", "step": 0}
    assert write("third", later) == [entry | {"commit": commit}]
    assert write("fourth", BEGUN | {"step": 0}) is None  # trained anew
    assert "continued" not in json.loads((tmp_path / "config.json").read_text())


@pytest.mark.parametrize("is_continued", [True, False])
def test_what_was_trained_on_a_stage_before_more_steps_is_set_aside(
    tmp_path, is_continued, capsys
):
    setup = open_experiment(tiny_config())
    joint, unimodal = setup.method.stages[:2]
    tree = {"a": 0.0}
    told = {"continued": MORE["continued"]} if is_continued else {}
    checkpoint.save(stage_directory(tmp_path, "joint"), 40, tree, tree, told)
    place = stage_directory(tmp_path, "unimodal")
    about = {"identity": {"config": {"needs": {"joint": "before"}}}}
    checkpoint.save(place, 20, tree, tree, about)

    _set_aside(setup, tmp_path, joint, {})
    _set_aside(setup, tmp_path, unimodal, {})  # nothing is there that it needs
    _set_aside(setup, tmp_path, unimodal, {"joint": "before"})
    assert place.exists() and not capsys.readouterr().out
    _set_aside(setup, tmp_path, unimodal, {"joint": "after"})
    aside = place.with_name("unimodal-of-before")
    assert aside.exists() == is_continued and place.exists() != is_continued
    assert (f"before more steps is now {aside}" in capsys.readouterr().out) == (
        is_continued
    )
