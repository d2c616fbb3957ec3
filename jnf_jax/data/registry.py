"""Data sets by name."""

import importlib
from collections.abc import Callable
from typing import Any

from jnf_jax.data.dataset import Dataset
from jnf_jax.options import among, read

NAMES = (
    "circles_squares",
    "cub",
    "digits",
    "handwriting",
    "mhd",
    "mnist_svhn",
    "polymnist",
    "quadrants",
    "records",
)
"""Modules of this folder with ``Settings`` and ``load``; a literal, which is also read
from the source, by what must not import jax."""

_MODULES = {name: importlib.import_module(f"jnf_jax.data.{name}") for name in NAMES}

DATASETS: dict[str, tuple[type, Callable[[Any], Dataset]]] = {
    name: (module.Settings, module.load) for name, module in _MODULES.items()
}
"""Name -> (settings dataclass, load)."""

BLANK: dict[str, Callable[[Any], Dataset]] = {
    name: module.blank for name, module in _MODULES.items() if hasattr(module, "blank")
}
"""Name -> ``load`` of black pictures, where shapes and sizes are known without files:
for whoever asks what a config would need. Of a class there are as many as of any other,
so that sizes that depend on classes may be off by little."""


def load(name: str, **settings: Any) -> Dataset:
    """Loads a data set by its name, with the settings that differ from their defaults.

    Raises:
      ValueError: the name or a setting is unknown, or a setting has a bad value; the
        message names the known ones, or every bad field.

    >>> load("digits", num_modalities=2).shapes["m1"]
    (16, 16, 3)
    """
    if name not in DATASETS:
        raise ValueError(f"`data.name` is {name!r}, expected {among(name, DATASETS)}")
    make_settings, load_dataset = DATASETS[name]
    chosen, faults = read(make_settings, settings, "data")
    if faults:
        raise ValueError("\n".join(faults))
    return load_dataset(chosen)
