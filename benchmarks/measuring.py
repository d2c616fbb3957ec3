"""What the benchmarks share: pinned threads, pairs of timings, the record."""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RIVAL_PROGRAM = Path(__file__).with_name("multivae_side.py")


def read_flags(
    description: str,
    *,
    rival: bool = False,
    more: Callable = lambda parser: None,
    keep_memory: bool = True,
) -> argparse.Namespace:
    """Flags of a benchmark; pins this process, hence also its children, to its cores.

    Unless ``keep_memory`` is false it keeps its memory, as a program does.

    Call it before JAX is used: XLA makes as many threads as it finds cores then.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="write the record to this JSON file")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for a test")
    parser.add_argument("--threads", type=int, default=2, help="cores to pin to")
    if rival:
        parser.add_argument("--vs", choices=["multivae"], help="time MultiVae as well")
        parser.add_argument(
            "--rival-python",
            default=sys.executable,
            help="interpreter of the environment that MultiVae is installed in",
        )
    more(parser)
    flags = parser.parse_args()
    flags.load_average = os.getloadavg()[0]  # what else was running: timings beware
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[: flags.threads])
    if keep_memory:
        from jnf_jax.runtime import host_memory

        host_memory.keep_freed_memory()
    return flags


def write_record(flags: argparse.Namespace, name: str, found: dict[str, Any]) -> dict:
    """Prints and returns the record, and writes it to ``--out``.

    The machine comes first, then what was found.

    The folders of the interpreter and of ``--out`` are those of one machine: they are
    left out.
    """
    from jnf_jax.experiments import logs

    record = {
        "benchmark": name,
        "command": f"python -m benchmarks.{name}"
        + (f" --vs {flags.vs}" if getattr(flags, "vs", None) else "")
        + (" --small" if flags.small else ""),
        **logs.describe_run(),
        "threads": flags.threads,
        "load_average_at_start": flags.load_average,
        **found,
    }
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    print(text, end="")
    if flags.out:
        flags.out.parent.mkdir(parents=True, exist_ok=True)
        flags.out.write_text(text)
    return record


class Rival:
    """MultiVae in a process of its own that answers requests, one JSON a line.

    ::

        with Rival(python, threads) as rival:
            seconds = rival.ask("train", stage="joint", steps=20)["seconds"]
    """

    def __init__(self, python: str, threads: int):
        """Starts it; exits with a message when MultiVae is not there."""
        self._process = subprocess.Popen(
            [python, str(RIVAL_PROGRAM), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise SystemExit(
                f"MultiVae cannot be imported by {python}: see the error above. "
                "Install it with CPU torch in an environment of its own (docs/speed.md "
                "says how) and name that one's interpreter with --rival-python."
            )
        self.versions = json.loads(line)

    def __enter__(self) -> "Rival":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """Its answer; RuntimeError when the process died of it."""
        print(json.dumps({"do": request, **arguments}), file=self._process.stdin)
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"MultiVae's process died of the request {request!r}")
        return json.loads(line)


def time_pairs(
    ours: Callable[[], float], theirs: Callable[[], float] | None, num_pairs: int
) -> dict[str, Any]:
    """Rates measured in turn, so that a slow minute of the machine hits both sides.

    Args:
        ours: Does some work and returns its rate (more is better).
        theirs: The same for the rival, or None.
        num_pairs: How often; one more pair goes before them and is not counted.

    Returns:
        Medians ``ours`` and ``theirs``, all rates, and ``ratio``, the median of ours
        over theirs pair by pair.
    """
    works = {"ours": ours} | ({"theirs": theirs} if theirs else {})
    for work in works.values():
        work()
    each = in_turn(works, num_pairs)
    found: dict[str, Any] = {}
    for side, values in each.items():
        found |= {side: statistics.median(values), f"{side}_each": values}
    if theirs is not None:
        pairs = zip(each["ours"], each["theirs"], strict=True)
        found["ratio"] = statistics.median(our / their for our, their in pairs)
    return found


def in_turn(works: dict[Any, Callable[[], float]], rounds: int) -> dict:
    """{key: all that each returned}, asked for in turn, ``rounds`` times each."""
    found = {key: [] for key in works}
    for _ in range(rounds):
        for key, work in works.items():
            found[key].append(work())
    return found


def times_in_turn(works: dict[Any, Callable[[], float]], rounds: int) -> dict:
    """{key: median of what each returned}, as ``in_turn`` asks for it."""
    found = in_turn(works, rounds)
    return {key: statistics.median(values) for key, values in found.items()}


def finite(value: Any) -> float | None:
    """JSON has no NaN: the R-hat of a chain that never moved is None."""
    return float(value) if math.isfinite(value) else None


def seconds_of(work: Callable[[], Any]) -> float:
    """Wall seconds until the arrays that ``work`` returns are there."""
    import jax

    begin = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - begin


def matmul_peak(repeats: int = 8) -> float:
    """GFLOP/s of the best of several float32 matrix products: what is reachable.

    At the precision that JAX multiplies with unless told otherwise. An accelerator gets
    larger ones, many a call, as it is done with one before it could be asked for two.
    """
    import jax

    size, count = (2_048, 1) if jax.default_backend() == "cpu" else (8_192, 16)
    a = jax.random.normal(jax.random.key(0), (size, size)) / size**0.5

    @jax.jit
    def products(x: jax.Array) -> jax.Array:
        return (
            jax.lax.fori_loop(0, count, lambda _, x: a @ x, x) if count > 1 else a @ x
        )

    seconds_of(lambda: products(a))
    seconds = [seconds_of(lambda: products(a)) for _ in range(repeats)]
    return 2e-9 * size**3 * count / min(seconds)
