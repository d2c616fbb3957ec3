"""Data sets: `load(name, **settings)` gives splits of arrays and a pure `fetch`."""

from jnf_jax.data.dataset import Dataset, Split
from jnf_jax.data.registry import DATASETS, load

__all__ = ["DATASETS", "Dataset", "Split", "load"]
