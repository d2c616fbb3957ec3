"""Multimodal generative models in JAX: JNF, its losses, its samplers, its protocol.

The few names below are imported when first asked for, so that ``import jnf_jax`` costs
nothing and a fork that wants one loss gets no network library with it.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

_PUBLIC = {
    "gaussian_kl": "jnf_jax.losses",
    "iwae_bound": "jnf_jax.losses",
    "joint_elbo": "jnf_jax.losses",
    "unimodal_nll": "jnf_jax.losses",
    "ChainSettings": "jnf_jax.sampling",
    "product_log_density": "jnf_jax.sampling",
    "load": "jnf_jax.data",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Imports a public name from its module."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'jnf_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


_BESIDE = Path(__file__).resolve().parents[1] / "configs" / "__init__.py"
if _BESIDE.is_file() and not Path(__file__).with_name("configs").is_dir():
    # In a source tree the folder that a wheel has as jnf_jax.configs lies beside this
    # one; it is taken, whatever other checkout may be installed.
    _spec = importlib.util.spec_from_file_location("jnf_jax.configs", _BESIDE)
    configs = sys.modules["jnf_jax.configs"] = importlib.util.module_from_spec(_spec)
