"""Memory of the host: what a step frees stays, and Python looks for garbage rarely.

A training step on CPU allocates its temporaries, tens to hundreds of MB, and frees
them. glibc maps large blocks for themselves and unmaps them when freed, so that every
step pays for the page faults of all of them: docs/speed.md has the measurements.
"""

import ctypes
import gc
import importlib.util
import os
import platform

import jax

# Numbers of <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_LARGEST_INT = 2**31 - 1

_OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""Python's own is 700 or 2,000."""


def keep_freed_memory() -> bool:
    """Has glibc keep what is freed, where JAX will compute on CPU.

    Call it before JAX looks for devices. Blocks are not mapped one by one any more and
    the heap does not shrink; two arenas, one for this thread and one for all others,
    find freed blocks again. Programs are run by the thread that calls them, not by
    another: beyond the first arena a heap ends at 64 MB, and what is larger would be
    mapped after all. Up to 2 GB that are free at the heap's end stay.

    Returned is whether it was done: on Linux with glibc, without an accelerator.
    """
    if _expects_accelerator() or platform.libc_ver()[0] != "glibc":
        return False
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    libc = ctypes.CDLL(None)
    options = ((_ARENA_MAX, 2), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _LARGEST_INT))
    return all([libc.mallopt(option, value) for option, value in options])


def collect_rarely() -> None:
    """Has Python's collector of cycles leave alone what was imported, and wait longer.

    Tracing a program makes millions of small objects, most of which live: looking
    through them again and again delays a first step (docs/speed.md). What no cycle
    holds, all arrays of a training loop, is freed at once as ever.
    """
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


def _expects_accelerator() -> bool:
    """Whether ``JAX_PLATFORMS`` names one, or else a plugin of JAX is installed.

    JAX itself can be asked only once it has looked for devices.
    """
    if asked := os.environ.get("JAX_PLATFORMS", ""):
        return asked != "cpu"
    plugins = ("jax_plugins", "libtpu")
    return any(importlib.util.find_spec(name) for name in plugins)
