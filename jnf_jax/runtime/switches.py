"""JAX's own switches: under some of them numbers would be others, or nothing would run.

What they change is in no record and in no checkpoint: a run that went on under another
switch would be of two kinds. They are therefore refused by name before anything starts,
by programs, ``jnf_jax.fit`` and ``load``. Of Python ``with jax.enable_x64(False):``
around these is a way on where all else needs x64.

A whole tiny run passed by hand with ``jax_debug_nans``, ``jax_debug_key_reuse`` or
``jax_check_tracer_leaks``, and with ``jax_legacy_prng_key="error"``.
"""

import os
from typing import Any

import jax

EXPECTED: dict[str, tuple[tuple[Any, ...], str]] = {
    "jax_enable_x64": ((False,), "parameters and numbers are float32"),
    "jax_default_prng_impl": (("threefry2x32",), "draws are another generator's"),
    "jax_threefry_partitionable": ((True,), "draws depend on the devices"),
    "jax_random_seed_offset": ((0,), "every seed is another"),
    "jax_numpy_dtype_promotion": (("standard",), "masks multiply floats"),
    "jax_numpy_rank_promotion": (("allow", "warn"), "biases are added to batches"),
    "jax_transfer_guard": ((None, "allow", "log"), "data go to devices by themselves"),
    "jax_transfer_guard_host_to_device": ((None, "allow", "log"), "likewise"),
    "jax_debug_infs": ((False,), "infinity is the best loss before the first"),
}
"""Switch -> the values that it may have, and why no others."""


def check() -> None:
    """Raises ValueError at the first switch that has another value, by its name."""
    for name, (values, why) in EXPECTED.items():
        # One that this version of JAX does not know is as it always was.
        found = getattr(jax.config, name, values[0])
        found = getattr(found, "value", found)  # of an enumeration
        if found not in values:
            expected = " or ".join(map(repr, values))
            where = "" if name.upper() not in os.environ else f", {name.upper()} unset"
            raise ValueError(
                f"`{name}` is {found!r}, expected {expected}{where}: {why}"
            )
