"""Multimodal generative models in JAX: fit arrays, generate any view from any others.

    model = jnf_jax.fit({"a": a, "b": b})
    drawn = model.generate({"a": new_a}, num_samples=8)["b"]

The names below are imported when first asked for, so that ``import jnf_jax`` costs
nothing and a fork that wants one loss gets no network library with it.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "fit": "jnf_jax.api.fit",
    "load": "jnf_jax.api.load",
    "Model": "jnf_jax.api.Model",
    "MultiViewImputer": "jnf_jax.estimator.MultiViewImputer",
    "load_dataset": "jnf_jax.data.load",
    "gaussian_kl": "jnf_jax.losses.gaussian_kl",
    "iwae_bound": "jnf_jax.losses.iwae_bound",
    "joint_elbo": "jnf_jax.losses.joint_elbo",
    "unimodal_nll": "jnf_jax.losses.unimodal_nll",
    "ChainSettings": "jnf_jax.sampling.ChainSettings",
    "product_log_density": "jnf_jax.sampling.product_log_density",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Imports a public name from its module."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'jnf_jax' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].rpartition(".")
    return getattr(importlib.import_module(module), attribute)


_BESIDE = Path(__file__).resolve().parents[1] / "configs" / "__init__.py"
if _BESIDE.is_file() and not Path(__file__).with_name("configs").is_dir():
    # In a source tree the folder that a wheel has as jnf_jax.configs lies beside this
    # one; it is taken, whatever other checkout may be installed.
    _spec = importlib.util.spec_from_file_location("jnf_jax.configs", _BESIDE)
    configs = sys.modules["jnf_jax.configs"] = importlib.util.module_from_spec(_spec)
