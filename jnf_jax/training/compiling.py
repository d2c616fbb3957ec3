"""Options of XLA that make a training step faster, where this version knows them."""

import functools

import jax

# Matrix products and sums of a CPU program by YNNPACK's kernels: a quarter off a
# convolutional step (docs/speed.md). Experimental: names and values change between
# versions, so the first that is known is taken.
_CPU_OPTIONS = tuple(
    {"xla_cpu_experimental_ynn_fusion_type": ",".join(kinds)}
    for kinds in (
        ("LIBRARY_FUSION_TYPE_DOT", "LIBRARY_FUSION_TYPE_REDUCE"),
        ("LIBRARY_FUSION_TYPE_DOT",),
    )
)


@functools.cache
def compiler_options(backend: str) -> dict[str, str]:
    """What ``jax.jit(…, compiler_options=…)`` of a training step gets on ``backend``.

    Options go with the program, not into XLA_FLAGS: there an unknown name would end the
    process. Here it is refused with an error; where all are, none is used.
    """
    for options in _CPU_OPTIONS if backend == "cpu" else ():
        try:
            jax.jit(lambda: 0, compiler_options=options).lower().compile()
        except jax.errors.JaxRuntimeError:
            continue
        return options
    return {}
