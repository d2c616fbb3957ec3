"""Configs, one file a row or a family of rows; ``--list`` of any program prints them.

``digits/jnf`` names ``digits/jnf.py``. Where rows differ in a key they are one file,
whose ``get_config(argument)`` is told which: ``digits/jnf_after:gmm``. A copy works
from any folder, for what it imports is installed: this folder as ``jnf_jax.configs``.
"""
