"""Experiments: a config resolved, its stages run, its evaluation and its record."""
