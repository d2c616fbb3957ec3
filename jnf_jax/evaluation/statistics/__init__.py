"""Metrics: functions of a trained model, its predictions and draws.

Nothing here trains a model. Two-sample tests and probes fit classifiers of
scikit-learn, which judge one sample and are forgotten.
"""
