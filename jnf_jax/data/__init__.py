"""Data sets: `load(name, **settings)` gives splits of arrays and a pure `fetch`.

The names below are imported when first asked for: `data.manifest`, which configs read,
needs no jax.
"""

import importlib
from typing import Any

_PUBLIC = {
    "DATASETS": "jnf_jax.data.registry",
    "Dataset": "jnf_jax.data.dataset",
    "Split": "jnf_jax.data.dataset",
    "load": "jnf_jax.data.registry",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Imports a public name from its module."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'jnf_jax.data' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
