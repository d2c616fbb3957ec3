"""Programs that are entered in this process, and how they are to refuse."""

import contextlib
import runpy
import signal
import sys

import pytest
from absl import flags

from jnf_jax import programs
from jnf_jax.experiments import run as experiments_run
from jnf_jax.runtime import host_memory, parallel

OWN_FLAGS = {
    *("config", "list", "workdir", "evaluate", "wandb_project", "out", "set", "given"),
    *("prior", "num", "seed", "diffused", "given-file", "num_samples", "noise"),
    *("input", "latent", "labels", "id_column", "against"),
}
"""Those of the programs; libraries have others."""


@contextlib.contextmanager
def programs_here(monkeypatch, capsys):
    """``run(program, *arguments)`` -> exit status and stderr, in this process.

    ``run.out`` is what it wrote to stdout. What a program does to its whole process is
    left out: its flags are forgotten.
    """
    known, terminate = forget(), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(host_memory, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(parallel, "make_cores_devices", lambda: None)
    # runpy would cache the program as jaxtyping's hook compiles it, calls of a checker
    # within, where processes without the hook look for its bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(experiments_run, "train_stages", lambda *_: pytest.fail("bad"))
    monkeypatch.setattr(
        programs.app,
        "run",
        lambda main, flags_parser: sys.exit(main(flags_parser(sys.argv))),
    )

    def run(program, *arguments):
        forget()
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        with pytest.raises(SystemExit) as end:
            # As the main module: a record names the program that made it.
            runpy.run_module(f"jnf_jax.{program}", run_name="__main__", alter_sys=True)
        run.out, err = capsys.readouterr()
        return end.value.code or 0, err

    try:
        yield run
    finally:
        signal.signal(signal.SIGTERM, terminate)
        forget()
        for name, flag in known.items():
            flags.FLAGS[name] = flag


def forget():
    """Removes the programs' flags, as each of them defines its own; returns them."""
    known = {name: flags.FLAGS[name] for name in OWN_FLAGS & {*flags.FLAGS}}
    for name in known:
        delattr(flags.FLAGS, name)
    return known


def contents(folder):
    """Path -> bytes of every file, and every folder."""
    return {p: p.is_file() and p.read_bytes() for p in folder.rglob("*")}


def check(status, err, told):
    """Exit status 2 and one line with ``told``; or several below one of "faults"."""
    lines = err.splitlines()
    assert status == 2, err
    assert len(lines) == 1 or lines[0].endswith("faults:"), err
    assert lines[0].startswith("error: ") and told in err, err
