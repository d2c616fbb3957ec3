"""Data sets by name."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jnf_jax.data import (
    circles_squares,
    cub,
    digits,
    handwriting,
    mhd,
    mnist_svhn,
    polymnist,
    records,
)
from jnf_jax.data.dataset import Dataset

_MODULES = (
    circles_squares,
    cub,
    digits,
    handwriting,
    mhd,
    mnist_svhn,
    polymnist,
    records,
)

DATASETS: dict[str, tuple[type, Callable[[Any], Dataset]]] = {
    module.__name__.rpartition(".")[2]: (module.Settings, module.load)
    for module in _MODULES
}
"""Name -> (settings dataclass, load)."""


def load(name: str, **settings: Any) -> Dataset:
    """Loads a data set by its name.

    Args:
      name: one of `DATASETS`.
      **settings: fields of its settings dataclass; the rest keep their defaults.

    Raises:
      ValueError: the name or a setting is unknown, or a setting has a bad value; the
        message names the known ones, or every bad field.

    Example:
      >>> load("digits", num_modalities=2).shapes["m1"]
      (16, 16, 3)
    """
    if name not in DATASETS:
        raise ValueError(f"data.name: got {name!r}, expected one of {sorted(DATASETS)}")
    make_settings, load_dataset = DATASETS[name]
    known = [field.name for field in dataclasses.fields(make_settings)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"data: got unknown settings {unknown}, expected {known}")
    return load_dataset(make_settings(**settings))
