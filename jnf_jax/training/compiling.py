"""Options of XLA for the programs of training, where this version knows them."""

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


# A program that runs once and draws every parameter: its many small loops take LLVM
# twice as long at its full level, for the same bits.
_CPU_OPTIONS_ONCE = ({"xla_backend_optimization_level": 1},)


@functools.cache
def compiler_options(backend: str, once: bool = False) -> dict[str, str | int]:
    """The ``compiler_options`` that ``jax.jit`` of a training step gets on a backend.

    ``once`` asks for those of the program that makes the first state. Options go with
    the program, not into XLA_FLAGS: there an unknown name would end the process. Here
    it is refused with an error; where all are, none is used.
    """
    choices = _CPU_OPTIONS_ONCE if once else _CPU_OPTIONS
    for options in choices if backend == "cpu" else ():
        try:
            jax.jit(lambda: 0, compiler_options=options).lower().compile()
        except jax.errors.JaxRuntimeError:
            continue
        return options
    return {}
