"""What can be measured beside protocol v1, each a function of a `Subject`.

``registry.py`` lists the measures; the metrics that they call are in
``jnf_jax/metrics``.
"""

from jnf_jax.measures.registry import MEASURES, Measure, data_faults, run

__all__ = ["MEASURES", "Measure", "data_faults", "run"]
