"""Metrics: pure functions of predictions and draws; nothing here trains."""

from jnf_jax.metrics.coherence import (
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
