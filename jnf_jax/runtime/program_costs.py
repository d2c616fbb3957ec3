"""What a program costs, read from its trace and from what XLA made of it.

FLOPs are counted in the trace, of the whole batch, before any device is known; what
devices send each other only exists once XLA has split the program, in its HLO text. A
loop counts as often as it runs: XLA's own ``cost_analysis`` counts its body once.
"""

import math
import re
from collections import Counter
from typing import Any

COLLECTIVES = (
    *("all-reduce", "all-gather", "reduce-scatter"),
    *("all-to-all", "collective-permute"),
)
_SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
_SIZES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8}


def count_flops(jaxpr: Any, loop_steps: int | float | None = None) -> int | float:
    """Multiplications and additions of matrix products and convolutions.

    ::

        2 (values of the result) (products summed for each)

    Element-wise work is left out. A convolution counts the zeros that it is padded by,
    not those that a transposed one is stretched by. Of a conditional the dearest branch
    counts.

    Args:
        jaxpr: As of ``jax.make_jaxpr`` or of ``jit(f).trace(…).jaxpr``.
        loop_steps: Steps of loops whose number of steps is not in the trace, as chance
            decides it; None: there are none that do such work.

    Raises:
        ValueError: A loop whose number of steps is not in the trace does such work.

    >>> x, w = jnp.ones((8, 3)), jnp.ones((3, 5))
    >>> count_flops(jax.make_jaxpr(jnp.matmul)(x, w))
    240
    """
    total = 0
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name, parameters = equation.primitive.name, equation.params
        inside = [count_flops(inner, loop_steps) for inner in _jaxprs(parameters)]
        if name in ("dot_general", "conv_general_dilated"):
            stretched = math.prod(parameters.get("lhs_dilation", ()))
            size = math.prod(equation.outvars[0].aval.shape)
            total += 2 * size * _summed(equation) // stretched
        elif name == "scan":
            total += parameters["length"] * sum(inside)
        elif name == "cond":
            total += max(inside, default=0)
        elif name == "while" and sum(inside):
            if loop_steps is None:
                raise ValueError("a `while_loop` has products, expected a known length")
            total += loop_steps * sum(inside)
        else:
            total += sum(inside)
    return total


def _summed(equation: Any) -> int:
    """How many products are summed to one value of the result."""
    left, right = (v.aval.shape for v in equation.invars[:2])
    numbers = equation.params["dimension_numbers"]
    if equation.primitive.name == "dot_general":
        return math.prod(left[axis] for axis in numbers[0][0])
    return math.prod(right) // right[numbers.rhs_spec[0]]


def _jaxprs(parameters: dict[str, Any]) -> list[Any]:
    """The programs inside an equation."""
    found = []
    for value in parameters.values():
        values = value if isinstance(value, tuple | list) else (value,)
        found += [v for v in values if hasattr(getattr(v, "jaxpr", v), "eqns")]
    return found


def count_collectives(hlo: str, num_devices: int) -> dict[str, tuple[int, int]]:
    """{kind: (how often, bytes)} of all that devices send each other, a device's share.

    Bytes are those of the whole array: of the result, and of a reduce-scatter that
    times ``num_devices``, whose result is a part.

    Args:
        hlo: Of a compiled program, ``compiled.as_text()``.
        num_devices: Over which it is split.

    Raises:
        ValueError: A loop whose number of steps XLA does not tell sends something.
    """
    bodies, entry = _computations(hlo)
    known: dict[str, tuple[Counter, Counter]] = {}

    def of(name: str) -> tuple[Counter, Counter]:
        if name in known:
            return known[name]
        times, sizes = Counter(), Counter()
        for line in bodies.get(name, ()):
            if (found := _collective(line, num_devices)) is not None:
                times[found[0]] += 1
                sizes[found[0]] += found[1]
                continue
            for inner, repeats in _called(line):
                inner_times, inner_sizes = of(inner)
                if inner_times and repeats is None:
                    raise ValueError(
                        f"a loop over {inner!r} sends something, expected its "
                        "`known_trip_count`"
                    )
                for kind in inner_times:
                    times[kind] += (repeats or 0) * inner_times[kind]
                    sizes[kind] += (repeats or 0) * inner_sizes[kind]
        known[name] = times, sizes
        return known[name]

    times, sizes = of(entry)
    return {kind: (times[kind], sizes[kind]) for kind in COLLECTIVES if times[kind]}


def _computations(hlo: str) -> tuple[dict[str, list[str]], str]:
    """{name: lines} of every computation, and the name of the first that runs."""
    bodies, entry, lines = {}, "", []
    for line in hlo.splitlines():
        if (head := re.match(r"(ENTRY )?%?([\w.-]+) .*\{$", line)) is not None:
            lines = bodies[head[2]] = []
            entry = head[2] if head[1] else entry
        else:
            lines.append(line)
    return bodies, entry


def _collective(line: str, num_devices: int) -> tuple[str, int] | None:
    """(kind, bytes) of an instruction that sends; its start, if it has one, does not.

    What starts early is counted where it is done, as only there it has its own shape.
    """
    kinds = "|".join(COLLECTIVES)
    found = re.search(rf" = (.*?) ({kinds})(-done)?\(", line)
    if found is None:
        return None
    size = sum(
        _SIZES[kind] * math.prod(int(n) for n in shape.split(",") if n)
        for kind, shape in re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", found[1])
    )
    return found[2], size * (num_devices if found[2] == "reduce-scatter" else 1)


def _called(line: str) -> list[tuple[str, int | None]]:
    """(computation, how often) of all that an instruction runs; None: unknown."""
    names = re.findall(r"(?:calls|to_apply|body|condition)=%?([\w.-]+)", line)
    for group in re.findall(r"branch_computations=\{([^}]*)\}", line):
        names += re.findall(r"[\w.-]+", group)
    repeats: int | None = 1
    if " while(" in line:
        known = re.search(r'known_trip_count\\?":\{\\?"n\\?":\\?"(\d+)', line)
        repeats = int(known[1]) if known else None
    return [(name, repeats) for name in names]
