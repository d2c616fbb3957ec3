"""What can be measured beside protocol v1, each a function of a `Subject`.

``registry.py`` lists the measures; the metrics that they call are in
``jnf_jax/evaluation/statistics``.
"""

from jnf_jax.evaluation.measures.registry import MEASURES, Measure, data_faults, run

__all__ = ["MEASURES", "Measure", "data_faults", "run"]
