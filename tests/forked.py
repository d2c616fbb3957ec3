"""Processes of their own that begin with JAX and Orbax imported, which costs seconds.

A server imports them once, before JAX looks for devices, and forks for each process. A
process may be killed and have devices of its own, as one that a shell has started.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable

import jax

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["jnf_jax.training.trainer", "jnf_jax.data.record_files", "orbax.checkpoint"]
)


class Forked:
    """``function(*arguments)`` in a process; what it prints is kept.

    Args:
        options: Of ``jax.config``, set before anything else.
    """

    def __init__(self, function: Callable, *arguments, **options):
        ends = [SERVER.Pipe(duplex=False) for _ in range(2)]
        written = [write for _, write in ends]
        self._process = SERVER.Process(
            target=_call, args=(*written, options, function, arguments)
        )
        self._process.start()
        self._texts = ["", ""]
        self._readers = [
            threading.Thread(target=self._read, args=(i, read), daemon=True)
            for i, (read, _) in enumerate(ends)
        ]
        for reader in self._readers:
            reader.start()
        for write in written:
            write.close()  # the process has its own

    def _read(self, number, connection):
        with open(os.dup(connection.fileno())) as file:
            self._texts[number] = file.read()
        connection.close()

    @property
    def returncode(self) -> int | None:
        """As ``subprocess.Popen`` has it; None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Its stdout and stderr, once it has ended."""
        self._process.join(timeout)
        assert self.returncode is not None, f"still running after {timeout} s"
        for reader in self._readers:
            reader.join()
        return tuple(self._texts)


def _call(out, err, options, function, arguments):
    for number, connection in enumerate((out, err), start=1):
        os.dup2(connection.fileno(), number)
        connection.close()
    for name, value in options.items():
        jax.config.update(name, value)
    function(*arguments)
