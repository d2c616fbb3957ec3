"""Shapes are checked at run time, in tests only: jaxtyping through beartype."""

import tempfile

import jax
from jaxtyping import install_import_hook

install_import_hook("jnf_jax", "beartype.beartype")

# Many tests compile the same programs again: keep them for the length of this run.
_COMPILED = tempfile.TemporaryDirectory(prefix="jnf_jax-compiled-")
jax.config.update("jax_compilation_cache_dir", _COMPILED.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
