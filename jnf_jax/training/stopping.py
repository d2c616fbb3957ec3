"""SIGTERM and Ctrl-C: all processes of a run stop after the same step."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.runtime import parallel

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop(number: int) -> NoReturn:
    """Ends the program as that signal does by itself, once all is saved.

    Raises:
      KeyboardInterrupt: Ctrl-C (SIGINT), of which a notebook's kernel survives.
      SystemExit: any other, with code 128 + ``number``, by which a scheduler knows to
        requeue.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


@contextlib.contextmanager
def catch_signals(mesh: jax.sharding.Mesh | None) -> Iterator[Callable[..., int]]:
    """Yields a function that tells the signal to stop for, 0 as long as none came.

    Only the main thread hears signals; one that the process ignored (as ``nohup``, and
    a shell's background jobs do Ctrl-C) stays ignored. ``asked()`` is called once after
    each step (or scan of steps), by every process. In one process it tells as soon as
    the signal came. Of several, one that got it tells the others by a maximum over
    devices, queued behind the step; what is read is that of the call before, so that
    nobody waits for a running step, and all read the same. ``asked(now=True)`` waits
    for all to say so at this moment.
    """
    came = [0]
    if jax.process_count() == 1:

        def asked(now: bool = False) -> int:
            return max(came)

    else:
        asked = _agreed(came, mesh)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {n: then for n, then in before.items() if then is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield asked
    finally:
        for number, then in before.items():
            signal.signal(number, then)


def _agreed(came: list[int], mesh: jax.sharding.Mesh) -> Callable[..., int]:
    # One entry a device, whatever else the mesh splits: no process may be left out.
    mesh = parallel.dividing_mesh(mesh, mesh.size)
    split = parallel.batch_sharding(mesh)
    largest = jax.jit(jnp.max, out_shardings=parallel.replicated(mesh))
    before = np.zeros((), np.int32)

    def asked(now: bool = False) -> int:
        nonlocal before
        mine = np.full(1, max(came), np.int32)
        numbers = jax.make_array_from_callback((mesh.size,), split, lambda part: mine)
        latest = largest(numbers)
        found = int(np.asarray(latest if now else before))
        before = latest
        return found

    return asked
