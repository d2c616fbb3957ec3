"""Every ablation of ``configs/`` can be run as its docstring says."""

import math
from pathlib import Path

import pytest
import tfds_files

from jnf_jax.experiments import ablations, config_files, records
from jnf_jax.experiments.experiment import stage_directory
from jnf_jax.experiments.sweep import make_plan

ROOT = Path(__file__).parents[2]
ABLATIONS = [name for name in config_files.names() if name.startswith("ablations/")]
MEASURED = sorted((ROOT / "results" / "ablations").glob("*.json"))
JOINT_VAES = {"ablations/private_noise": 4, "ablations/projectors": 2}
"""Of those that share: one an amount of noise, one a data set; elsewhere one."""


@pytest.fixture(scope="module", autouse=True)
def places(tmp_path_factory):
    """Small MNIST and SVHN where TFDS looks for them."""
    data = tmp_path_factory.mktemp("tfds")
    tfds_files.write(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(data))
        patch.setenv("XDG_CACHE_HOME", str(data / "cache"))
        yield


def test_there_are_ablations():
    assert {*ABLATIONS} >= {"ablations/beta", *JOINT_VAES}


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_variant_is_another_run_and_has_what_the_table_shows(name, tmp_path):
    config = config_files.load_config(name).unlock()
    config.num_seeds = 1  # others would open the same data
    # Opens every variant; a quantity that none of its records can have is a fault.
    plan = make_plan(config, tmp_path)
    num = config.num_seeds * math.prod(len(values) for _, values in config.axes)
    assert len({unit.directory for unit in plan.units}) == len(plan.units) == num
    assert len({unit.config.to_json() for unit in plan.units}) == num
    assert len({*config.quantities}) == len(config.quantities)
    expected = JOINT_VAES.get(name, 1) if config.shares else 0
    assert len(plan.shared) == expected * config.num_seeds
    for stage in config.shares:
        shared = {str(stage_directory(u.directory, stage)) for u in plan.shared}
        assert {unit.config.init[stage] for unit in plan.units} == shared


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_what_was_measured_has_each_quantity_of_its_config(path):
    """Also those below a subset or an energy, which a plan cannot tell."""
    stored = records.read(path, ablations.faults_of)
    measured = [variant["record"] for variant in stored["variants"]]
    config = config_files.load_config(stored["sweep"])
    for quantity in (*config.quantities, *config.plot.y):
        # None stands for what is not finite: R-hat where all proposals are rejected.
        found = [ablations.look_up(record, quantity) for record in measured]
        assert any(value is not None for value in found), quantity
