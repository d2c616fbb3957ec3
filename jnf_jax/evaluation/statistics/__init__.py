"""Metrics: functions of a trained model, its predictions and draws.

Nothing here trains a model. Two-sample tests and probes fit classifiers of
scikit-learn, which judge one sample and are forgotten.
"""

from jnf_jax.evaluation.statistics.coherence import (
    Agreement,
    ClassAccuracy,
    CoherenceTable,
    agreement,
    average_by_size,
    class_accuracy,
    coherence_table,
    label_entropy,
    subsets,
)

__all__ = [
    "Agreement",
    "ClassAccuracy",
    "CoherenceTable",
    "agreement",
    "average_by_size",
    "class_accuracy",
    "coherence_table",
    "label_entropy",
    "subsets",
]
