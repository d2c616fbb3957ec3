"""Records of runs: their schema, their files, their tables.

docs/results_schema.md describes every field; ``python -m jnf_jax.results.render``
renders docs/results.md from all records.
"""

from jnf_jax.results.combine import combine
from jnf_jax.results.record import console_table, read, summarise, write
from jnf_jax.results.schema import validate

__all__ = ["combine", "console_table", "read", "summarise", "validate", "write"]
