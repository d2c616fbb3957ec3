"""What keeping freed memory is worth: joint steps of two processes that take turns.

    python -m benchmarks.memory --out memory.json

One process keeps what it frees, as `jnf_jax.runtime.host_memory` has programs do, the
other leaves glibc as it is. `samples_per_s`, `page_faults` and `system_milliseconds`
(kernel time) are a step's; ratios are of the samples/s, pair by pair.
"""

import json
import resource
import statistics
import subprocess
import sys
from typing import Any

from benchmarks import measuring

BATCH_SIZES = {"mnist_svhn": 128, "polymnist": 256}
STEPS, MODES = 8, ("kept", "left")


def _add_flags(parser: Any) -> None:
    # Set by this program for the processes that it starts itself.
    parser.add_argument("--child-of", nargs=2, default=None, help="internal")


def main() -> None:
    """One case after the other; each side in a process of its own."""
    flags = measuring.read_flags(__doc__, more=_add_flags, keep_memory=False)
    if flags.child_of:
        serve(*flags.child_of, small=flags.small)
        return
    record = {"unit": "samples/s", "ratios": {}}
    for case, num_pairs in {"mnist_svhn": 10, "polymnist": 4}.items():
        sides = measure(case, 1 if flags.small else num_pairs, flags)
        pairs = zip(*(sides[mode]["samples_per_s"] for mode in MODES), strict=True)
        record["ratios"][case] = statistics.median(kept / left for kept, left in pairs)
        record[case] = sides
    measuring.write_record(flags, "memory", record)


def measure(case: str, num_pairs: int, flags: Any) -> dict[str, dict[str, list]]:
    """{mode: {what: one number a turn}}."""
    small = ["--small"] if flags.small else []
    children = {
        mode: subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.memory", "--child-of", case, mode),
                *("--threads", str(flags.threads), *small),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for mode in MODES
    }
    for child in children.values():
        child.stdout.readline()  # compiled
    turns = {mode: [] for mode in MODES}
    for _ in range(num_pairs):
        for mode, child in children.items():
            print(file=child.stdin, flush=True)
            turns[mode].append(json.loads(child.stdout.readline()))
    for child in children.values():
        child.stdin.close()
        child.wait(timeout=60)
    return {
        mode: {name: [turn[name] for turn in own] for name in own[0]}
        for mode, own in turns.items()
    }


def serve(case: str, mode: str, *, small: bool) -> None:
    """Answers each line of stdin by ``STEPS`` joint steps, with what they took."""
    from jnf_jax.runtime import host_memory

    if mode == "kept" and not host_memory.keep_freed_memory():
        raise SystemExit("nothing can be kept here: not glibc, or an accelerator")
    from benchmarks import cases, train_step

    batch_size = 8 if small else BATCH_SIZES[case]
    setup = cases.open_case(case, size=STEPS * batch_size, small=small)
    rate, _ = train_step.our_rate(setup, "joint", batch_size, STEPS, {})
    rate()
    print("ready", flush=True)
    for _ in sys.stdin:
        before = resource.getrusage(resource.RUSAGE_SELF)
        samples_per_s = rate()
        after = resource.getrusage(resource.RUSAGE_SELF)
        taken = {
            "samples_per_s": samples_per_s,
            "page_faults": (after.ru_minflt - before.ru_minflt) / STEPS,
            "system_milliseconds": (after.ru_stime - before.ru_stime) / STEPS * 1e3,
        }
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()
