"""Data sets: `load(name, **settings)` gives a `Dataset` of splits and a pure `fetch`."""

from jnf_jax.data.dataset import Dataset, Split
from jnf_jax.data.registry import DATASETS, load

__all__ = ["DATASETS", "Dataset", "Split", "load"]
