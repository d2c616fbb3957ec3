"""Sweeps: every variant of one config, run side by side, in one table and one plot."""
