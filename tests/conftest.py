"""Shapes are checked at run time, in tests only: jaxtyping through beartype."""

from jaxtyping import install_import_hook

install_import_hook("jnf_jax", "beartype.beartype")
