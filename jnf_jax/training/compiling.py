"""Options of XLA that make a training step faster, where this version knows them."""

import functools

import jax

# Matrix products of a CPU program by YNNPACK's kernels: a fifth off a convolutional
# step (docs/speed.md). Experimental: names and values change between versions.
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT"}


@functools.cache
def compiler_options(backend: str) -> dict[str, str]:
    """What ``jax.jit(…, compiler_options=…)`` of a training step gets on ``backend``.

    Options go with the program, not into XLA_FLAGS: there an unknown name would end the
    process. Here it is refused with an error, and then none is used.
    """
    if backend != "cpu":
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=_CPU_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return _CPU_OPTIONS
