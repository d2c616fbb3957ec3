"""Several processes as one run: started together, they agree and do not talk twice.

Every process runs the same program on the same arguments. What is computed on arrays of
all devices is a collective: each process must come to it, in the same order. Files and
lines to read are the first process's business.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

HEARTBEAT_SECONDS = 30
"""How long a process may be silent before the others are stopped."""

LOST_PROCESS = (
    "another process of this run is gone, or cannot be reached; start all of them "
    "again with the same commands: they go on from the newest checkpoint"
)


def start(
    coordinator: str, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Joins the processes of one run; before JAX looks for devices.

    ``coordinator`` is "HOST:PORT" of process 0, reachable by all; "auto" lets JAX find
    all three out from the cluster (SLURM, Cloud TPU, GKE, Open MPI). The id of this
    process counts from 0.

    Raises:
      ValueError: "auto" with one of the others; or without "auto" one missing, or an id
        that is not below the number.
    """
    given = f"num_processes={num_processes} and process_id={process_id}"
    if coordinator == "auto":
        if (num_processes, process_id) != (None, None):
            raise ValueError(f"`coordinator` is 'auto' with {given}, expected neither")
    elif None in (num_processes, process_id) or not 0 <= process_id < num_processes:
        raise ValueError(
            f"`coordinator` is {coordinator!r} with {given}, expected both, and "
            "0 <= process_id < num_processes"
        )
    # The trainer listens for SIGTERM itself; JAX's own listener would swallow it.
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        None if coordinator == "auto" else coordinator,
        num_processes,
        process_id,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=HEARTBEAT_SECONDS,
    )


def is_first() -> bool:
    """Whether this process writes the files and speaks for all."""
    return jax.process_index() == 0


def say(text: str) -> None:
    """Prints a line, once a run."""
    if is_first():
        print(text, flush=True)


def any_of_all(flag: bool) -> bool:
    """Whether ``flag`` is true in any process; waits for all of them."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


def on_first(action: Callable[[], None]) -> None:
    """Runs ``action`` on the first process while the others wait.

    Raises:
      OSError, ValueError: it did so there; on the others an OSError with a message that
        says where.
    """
    error = None
    if is_first():
        try:
            action()
        except (OSError, ValueError) as raised:
            error = raised
    if any_of_all(error is not None):
        raise error or OSError("the first process failed; its own output says why")


def require_same(what: str, number: int) -> None:
    """Raises ValueError, which begins with ``what``, unless all processes agree."""
    if jax.process_count() == 1:
        return
    found = multihost_utils.process_allgather(np.asarray(number, np.int32)).tolist()
    if len(set(found)) > 1:
        raise ValueError(
            f"{what} differs between the processes: {found}; expected one file system "
            "that all of them see"
        )


def to_host(tree: Any) -> Any:
    """NumPy arrays, whole in every process, of arrays on the devices of all."""

    def fetch(x: Any) -> np.ndarray:
        if isinstance(x, jax.Array) and not (
            x.is_fully_addressable or x.is_fully_replicated
        ):
            return multihost_utils.process_allgather(x, tiled=True)
        return np.asarray(x)

    return jax.tree.map(fetch, tree)
