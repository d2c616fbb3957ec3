"""Renders docs/results.md from the records in results/."""
