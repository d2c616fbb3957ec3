"""Data sets by name."""

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
from jnf_jax.options import among, read

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
        raise ValueError(f"`data.name` is {name!r}, expected {among(name, DATASETS)}")
    make_settings, load_dataset = DATASETS[name]
    chosen, faults = read(make_settings, settings, "data")
    if faults:
        raise ValueError("\n".join(faults))
    return load_dataset(chosen)
