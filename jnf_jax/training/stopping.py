"""SIGTERM: all processes of a run stop after the same step."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.runtime import parallel

EXIT_CODE = 143  # 128 + SIGTERM, by which a scheduler knows to requeue


@contextlib.contextmanager
def catch_sigterm(mesh: jax.sharding.Mesh | None) -> Iterator[Callable[..., bool]]:
    """Yields a function that tells whether to stop; only the main thread hears signals.

    ``asked()`` is called once after each step (or scan of steps), by every process. In
    one process it is true as soon as SIGTERM came. Of several, one that got it tells
    the others by a sum over devices, queued behind the step; what is read is the sum of
    the call before, so that nobody waits for a running step, and all read the same.
    ``asked(now=True)`` waits for all to say so at this moment.
    """
    event = threading.Event()
    if jax.process_count() == 1:

        def asked(now: bool = False) -> bool:
            return event.is_set()

    else:
        asked = _agreed(event, mesh)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, previous)


def _agreed(event: threading.Event, mesh: jax.sharding.Mesh) -> Callable[..., bool]:
    # One flag a device, whatever else the mesh splits: no process may be left out.
    mesh = parallel.dividing_mesh(mesh, mesh.size)
    split = parallel.batch_sharding(mesh)
    add = jax.jit(jnp.sum, out_shardings=parallel.replicated(mesh))
    before = np.zeros(())

    def asked(now: bool = False) -> bool:
        nonlocal before
        mine = np.full(1, event.is_set(), np.int32)
        flags = jax.make_array_from_callback((mesh.size,), split, lambda part: mine)
        latest = add(flags)
        found = bool(np.asarray(latest if now else before))
        before = latest
        return found

    return asked
