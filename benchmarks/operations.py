"""Where the time goes, by kind of XLA operation: the profile behind missed targets.

    python -m benchmarks.operations --out operations.json

JAX's profiler over PolyMNIST's unimodal step (batch 256) and over a batch of 1,000
draws from two of three modalities (20 transitions), both as `train_step` and
`subset_sampling` time them. `shares` are of the time spent in operations, without those
that hold others (loops); on CPU `ynn` are matrix products, or sums, by YNN.
"""

import collections
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import measuring, subset_sampling

CONTAINERS = ("while", "call", "conditional")


def main() -> None:
    """One profile for each."""
    flags = measuring.read_flags(__doc__)
    record = {}
    for name, work in (
        ("polymnist.unimodal", unimodal_steps(flags.small)),
        ("draws", draws(flags.small)),
    ):
        record[name] = profile(work)
        shares = record[name]["shares"].items()
        print(name, *(f"{kind} {share:.0%}" for kind, share in shares), flush=True)
    measuring.write_record(flags, "operations", record)


def unimodal_steps(small: bool) -> Callable:
    """Four steps of the trainer."""
    import jax

    from benchmarks import cases, train_step

    batch_size = 8 if small else 256
    setup = cases.open_case("polymnist", size=8 * batch_size, small=small)
    joint = train_step.prepare(setup, "joint", batch_size, {})[0]
    params = {"joint": jax.jit(joint.init)(jax.random.key(0))}
    _, _, advance, state = train_step.prepare(setup, "unimodal", batch_size, params)
    at = {"state": state}

    def work():
        for step in range(4):
            at["state"], _ = advance(at["state"], step, 1)
        return at["state"]

    return work


def draws(small: bool) -> Callable:
    """One z for each of the data, as `subset_sampling` draws it."""
    num = 16 if small else 1_000
    setup = subset_sampling.open_setup(small, size=2 * num)
    return subset_sampling.draw_of(setup, num, transitions=2 if small else 20)


def profile(work: Callable) -> dict:
    """Seconds of ``work`` and what its operations took of them, the largest first."""
    import jax

    jax.block_until_ready(work())
    seconds = measuring.seconds_of(work)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            traced = measuring.seconds_of(work)
        (path,) = Path(folder).rglob("*.xplane.pb")
        found = jax.profiler.ProfileData.from_file(str(path))
    spent = collections.Counter()
    for plane in found.planes:
        for line in plane.lines:
            for event in line.events:
                if kind := kind_of(event):
                    spent[kind] += event.duration_ns * 1e-9
    total = sum(spent.values())
    shares = {kind: seconds / total for kind, seconds in spent.most_common(8)}
    shares["other"] = 1 - sum(shares.values())
    return {"seconds": seconds, "seconds_traced": traced, "shares": shares}


def kind_of(event) -> str | None:
    """ "dot" of an event "dot.17"; None of no operation, or one that holds others."""
    kind = re.sub(r"[._](\d+|clone|fusion)\b", "", event.name)
    is_operation = any(name == "hlo_op" for name, _ in event.stats)
    return kind if is_operation and kind not in CONTAINERS else None


if __name__ == "__main__":
    main()
