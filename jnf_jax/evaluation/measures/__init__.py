"""Measures beside protocol v1, one file each; ``registry.py`` lists them."""

from jnf_jax.evaluation.measures.registry import (
    MEASURES,
    data_faults,
    load,
    pictures,
    run,
)

__all__ = ["MEASURES", "data_faults", "load", "pictures", "run"]
