"""A run's folder, and a model that is opened from it alone.

::

    config.json        the resolved config, and how it was run
    model.json         what the model needs to know of its data: names, shapes, scalings
    calibration.npz    training tuples that step sizes of chains are adapted to
    checkpoints/       parameters, a folder a stage
    data/              of ``jnf_jax.fit``: the arrays that it was given

Neither the data nor a config file are read to open a model; ``data/`` may be removed,
and the folder may be moved.
"""

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from jnf_jax.data import covariates, manifest, own, record_files
from jnf_jax.data.dataset import Dataset
from jnf_jax.data.registry import DATASETS
from jnf_jax.experiments import exported
from jnf_jax.experiments.config import resolve
from jnf_jax.experiments.experiment import Setup, build_setup, load_stages
from jnf_jax.methods.subset import NUM_ADAPTATION_DATA
from jnf_jax.runtime import switches
from jnf_jax.runtime.files import npz, read_arrays, read_json, write_whole
from jnf_jax.types import Params, Views

FORMAT = 1


class Trained(NamedTuple):
    """A model and what it needs, without its data.

    Attributes:
        setup: Its ``dataset`` has no splits.
        params: {stage: parameters}.
        checkpoint_ids: {stage: identity of these}.
        seconds: Wall time of training.
        calibration: {m: f32[n, *shape]}, training tuples; none where no chain runs.
        step_sizes: Those of an exported model, of which no training tuple is known.
    """

    setup: Setup
    params: dict[str, Params]
    checkpoint_ids: dict[str, str]
    seconds: float
    calibration: Views
    step_sizes: exported.StepSizes = MappingProxyType({})


def read_config(workdir: Path) -> tuple[ml_collections.ConfigDict, str]:
    """The config that ``workdir`` was trained with, and the file it came from.

    Data that lie in the folder are found there, wherever it was moved.

    Raises:
        ValueError: ``workdir`` is no folder of a run.
    """
    path = Path(workdir) / "config.json"
    if not path.exists():
        raise ValueError(
            f"`workdir` {workdir} has no config.json: expected the directory of a run "
            "of jnf_jax.train"
        )
    stored = read_json(path, config=dict, config_file=str)
    config = ml_collections.ConfigDict(stored["config"])
    here = data_folder(workdir) / manifest.NAME
    if here.exists() and "records_dir" in config.get("data", {}):
        config.data.records_dir = str(data_folder(workdir))
    return config, stored["config_file"]


def data_folder(workdir: Path) -> Path:
    """Where a run keeps arrays that it was given."""
    return Path(workdir) / "data"


def keep_model(setup: Setup, workdir: Path) -> None:
    """Writes ``calibration.npz`` and ``model.json``, which ``open_model`` reads."""
    dataset, train = setup.dataset, setup.dataset.complete.splits["train"]
    calibration = {}
    if len(dataset.shapes) > 2:  # of two views no subset needs a chain
        rows = np.arange(min(NUM_ADAPTATION_DATA, train.size), dtype=np.int32)
        fetch = jax.jit(dataset.fetch)
        calibration = jax.device_get(fetch(train.arrays, train.rows(rows)))
    write_whole(workdir / "calibration.npz", npz(calibration))
    write_views(dataset, workdir)


def write_views(dataset: Dataset, workdir: Path) -> None:
    """Writes ``model.json``: all that a model needs to know of its data."""
    fields = ("name", "shapes", "num_classes", "record", "unbounded", "partial")
    about = {"format": FORMAT} | {field: getattr(dataset, field) for field in fields}
    about["scaling"] = {m: own.to_json(of) for m, of in dataset.scaling.items()}
    about["covariates"] = covariates.to_json(dataset.covariates)
    write_whole(workdir / "model.json", json.dumps(about, indent=1) + "\n")


def covariate_names(workdir: Path) -> tuple[str, ...]:
    """Those of the model in ``workdir``; () where it has none, or is not there."""
    if not (path := Path(workdir) / "model.json").exists():
        return ()
    return tuple(of["name"] for of in read_json(path).get("covariates", ()))


def open_model(workdir: Path) -> Trained:
    """Reads a trained model, also one that was exported; neither data nor a config.

    Raises:
        ValueError: ``workdir`` is no folder of a run, or not trained to its end; what
            ``load_stage``, ``exported.read`` and ``switches.check`` refuse.
    """
    switches.check()
    workdir = Path(workdir)
    if str(workdir) in DATASETS and not workdir.exists():
        raise ValueError(
            f"`folder` is {str(workdir)!r}, a data set, which "
            f"jnf_jax.load_dataset({str(workdir)!r}) loads: expected a run's folder"
        )
    config, _ = read_config(workdir)
    if not (workdir / "model.json").exists():
        raise ValueError(
            f"{workdir} has no model.json, which training writes when it ends: run "
            "jnf_jax.train with its config and --workdir again, which trains no "
            "finished stage twice"
        )
    about = read_json(
        workdir / "model.json",
        format=int, name=str, shapes=dict, record=dict, unbounded=list, scaling=dict,
    )  # fmt: skip
    if about["format"] != FORMAT:
        found = about["format"]
        raise ValueError(f"{workdir} has the format {found}, expected {FORMAT}")
    dataset = Dataset(
        name=about["name"],
        shapes={m: tuple(shape) for m, shape in about["shapes"].items()},
        splits={},
        fetch=no_rows,
        num_classes=about.get("num_classes"),
        record=about["record"],
        unbounded=tuple(about["unbounded"]),
        scaling=record_files.scaling_of(about),
        partial=tuple(about.get("partial", ())),
        covariates=covariates.of_json(about.get("covariates", ())),
    )
    setup = build_setup(resolve(config), dataset)
    if exported.is_export(workdir):
        found = exported.read(workdir, setup)
        return Trained(setup, *found[:3], {}, found.step_sizes)
    calibration = read_arrays(workdir / "calibration.npz")
    return Trained(setup, *load_stages(setup, workdir), calibration)


def no_rows(arrays: Any, rows: Any) -> Any:
    """``Dataset.fetch`` of a set that has shapes and no tuples."""
    raise ValueError("a model that was opened without its data has no rows of them")
