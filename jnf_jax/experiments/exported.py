"""A trained model to pass on: tensors, JSON and a card, and no data.

::

    model.safetensors  parameters, "stage/path/of/the/leaf"
    export.json        the format's version, SHA-256 of every tensor, step sizes
    model.json         names, shapes and scalings of the views, as a run's folder has it
    config.json        all settings, without folders and files of the machine
    README.md          a card for people

``jnf_jax.load`` opens the folder like one of a run. Where chains run, a run keeps the
training tuples that their step sizes are adapted to; an export has the step sizes.
"""

import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax.checkpoint import key_paths
from jnf_jax.data.covariates import Covariate
from jnf_jax.data.dataset import Scaling, checksum
from jnf_jax.experiments import config_files
from jnf_jax.experiments.console import console_table
from jnf_jax.experiments.experiment import Setup
from jnf_jax.names import join_names, split_names
from jnf_jax.runtime.files import read_json, write_whole
from jnf_jax.types import Params

FORMAT = 1
ABOUT = "export.json"
TENSORS = "model.safetensors"

StepSizes = Mapping[tuple[str, ...], Any]
"""Subset, sorted -> f32[] of its chains; None where none runs."""


class Exported(NamedTuple):
    """What ``read`` finds beside the settings; fields are those of a ``Trained``."""

    params: dict[str, Params]
    checkpoint_ids: dict[str, str]
    seconds: float
    step_sizes: StepSizes


def is_export(folder: Path) -> bool:
    """Whether ``write`` wrote the folder."""
    return (Path(folder) / ABOUT).exists()


def write(
    folder: Path,
    run: Path,
    setup: Setup,
    exported: Exported,
    record: Mapping[str, Any] | None,
) -> None:
    """Writes the model of the run in ``run``; ``record`` is shown on its card."""
    tensors = {
        key_paths.join_path(name): np.ascontiguousarray(leaf)
        for name, leaf in key_paths.flatten_tree(exported.params).items()
    }
    about = {
        "format": FORMAT,
        "version": _version(),
        "tensors": {name: checksum(x) for name, x in sorted(tensors.items())},
        "checkpoints": exported.checkpoint_ids,
        "seconds": exported.seconds,
        "step_sizes": {
            join_names(subset): float(size)
            for subset, size in sorted(exported.step_sizes.items())
            if size is not None
        },
    }
    config = _without_places(read_json(run / "config.json", config=dict))
    write_whole(folder / TENSORS, _safetensors().save(tensors))
    write_whole(folder / "config.json", json.dumps(config, indent=2) + "\n")
    write_whole(folder / "model.json", (run / "model.json").read_bytes())
    write_whole(folder / "README.md", card(setup, config, record))
    write_whole(folder / ABOUT, json.dumps(about, indent=1) + "\n")  # the last: whole


def read(folder: Path, setup: Setup) -> Exported:
    """Reads what ``write`` wrote, for a model of these settings.

    Raises:
        ValueError: In one line: another format; a file that is damaged; a tensor that
            is missing, superfluous or not the one that was exported. As
            ``key_paths.check_leaves``, where settings are for other tensors.
    """
    about = read_json(
        folder / ABOUT,
        format=int, tensors=dict, checkpoints=dict, seconds=float, step_sizes=dict,
    )  # fmt: skip
    if about["format"] != FORMAT:
        raise ValueError(
            f"{folder / ABOUT} has the format {about['format']}, expected {FORMAT}: it "
            f"was written by jnf_jax {about.get('version')}, and this is "
            f"{_version()}"
        )
    stored, path = _read_tensors(folder / TENSORS), folder / TENSORS
    for name in sorted(stored.keys() | about["tensors"].keys()):
        if name not in stored or name not in about["tensors"]:
            where = path if name not in stored else folder / ABOUT
            raise ValueError(f"{where} lacks {name!r}, which was exported")
        if checksum(stored[name]) != about["tensors"][name]:
            raise ValueError(
                f"{path}: {name!r} was changed since it was exported: its SHA-256 is "
                f"not the one in {ABOUT}"
            )
    like = {
        stage.name: jax.eval_shape(stage.init, jax.random.key(0))
        for stage in setup.method.stages
    }
    wanted = key_paths.flatten_tree(like)
    found = {tuple(name.split("/")): x for name, x in stored.items()}
    key_paths.check_leaves(str(path), found, wanted)
    leaves = [jax.device_put(found[name]) for name in wanted]
    sizes = about["step_sizes"].items()
    return Exported(
        jax.tree.unflatten(jax.tree.structure(like), leaves),
        about["checkpoints"],
        about["seconds"],
        {split_names(subset): jax.numpy.float32(size) for subset, size in sizes},
    )


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    package = _safetensors()
    from safetensors import SafetensorError

    try:
        return package.load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged, or no safetensors: {error}") from error


def _safetensors() -> ModuleType:
    """The package's functions on NumPy arrays, which only this file needs."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ValueError(
            "an exported model needs the package safetensors: "
            "pip install 'jnf_jax[export]'"
        ) from error
    return safetensors.numpy


def _version() -> str:
    return importlib.metadata.version("jnf_jax")


def _without_places(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config.json, without folders and files, which are one machine's."""

    def strip(tree: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for name, x in tree.items():
            is_place = name.endswith(("_dir", "_file")) and isinstance(x, str)
            found[name] = strip(x) if isinstance(x, dict) else "" if is_place else x
        return found

    named = config_files.name_of(run["config_file"])
    config = strip(run["config"]) | {"init": {}}
    return {**run, "config": config, "config_file": named}


# --- the card -----------------------------------------------------------------


def card(setup: Setup, run: Mapping[str, Any], record: Mapping[str, Any] | None) -> str:
    """README.md of a model, with the front matter that the Hugging Face Hub reads.

    ``run`` is what config.json holds; ``record`` None: nobody evaluated the model.
    """
    experiment, dataset = setup.experiment, setup.dataset
    names = sorted(dataset.shapes)
    rows = "\n".join(_row(setup, m) for m in names)
    latent, prior = experiment.model.latent_dim, experiment.model.prior.name
    steps = ", ".join(
        f"{stage} {settings.num_steps:,}"
        for stage, settings in experiment.training.items()
    )
    size = dataset.record.get("sizes", {}).get("train")
    beside, kept = _covariates(dataset.covariates)
    told = "This model was not evaluated." if record is None else "Of held-out data:"
    table = "" if record is None else f"\n```text\n{console_table(record)}\n```\n"
    return f"""---
library_name: jnf_jax
tags: [jnf_jax, multimodal, imputation]
---

# {dataset.name}: {", ".join(names)}

A model of {len(names)} views of the same things, which draws any of them given any
others.

```python
import jnf_jax

model = jnf_jax.load(".")  # this folder
drawn = model.generate({{"{names[0]}": rows}}, num_samples=8)
filled = model.impute(partial)
```

## Views

Values go in and come out in the units of the training data.

| view | shape | scaling inside | likelihood |
| --- | --- | --- | --- |
{rows}
{beside}
## Settings

| what | value |
| --- | --- |
| method | {experiment.method}, by the config {run["config_file"]} |
| latent | {latent} dimensions, prior {prior} |
| training rows | {"unknown" if size is None else f"{size:,}"} |
| steps | {steps} |
| seed | {experiment.seed} |
| hardware | {run.get("hardware", "unknown")} |
| written by | jnf_jax {_version()} |

config.json has all of them, export.json the SHA-256 of every tensor. No training row is
in this folder; means and standard deviations of the views are{kept}.

## Numbers

{told}
{table}"""


def _row(setup: Setup, m: str) -> str:
    """What the card says of a view."""
    dataset, likelihood = setup.dataset, setup.experiment.model.likelihood(m)
    is_unit = m not in dataset.unbounded
    told = "none: values in [0, 1]" if is_unit else "none"
    if m in dataset.scaling:
        told = _scaling(dataset.scaling[m])
    scale = f" of scale {likelihood.scale:g}" if likelihood.scale else ""
    return f"| {m} | {list(dataset.shapes[m])} | {told} | {likelihood.name}{scale} |"


def _covariates(known: tuple[Covariate, ...]) -> tuple[str, str]:
    """What the card says of covariates, a line each; and what is kept of them."""
    lines = []
    for name, categories, mean, scale in known:
        number = f"a number of mean {mean:.4g} and standard deviation {scale:.4g}"
        told = f"one of {', '.join(categories)}" if categories else number
        lines.append(f"\n- Rows come with the covariate {name}, {told}.")
    return (
        ("".join(lines) + "\n", ", and covariates of some rows") if known else ("", "")
    )


def _scaling(scaling: Scaling) -> str:
    def some(x: np.ndarray) -> str:
        shown = ", ".join(f"{value:.4g}" for value in x[:4])
        return shown + (", …" if len(x) > 4 else "")

    mean, scale = some(scaling.mean), some(scaling.scale)
    return f"{scaling.rule}: mean {mean}; standard deviation {scale}"
