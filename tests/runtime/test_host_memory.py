"""Memory of a step stays with the process, where that can be had."""

import os
import platform
import subprocess
import sys
import textwrap

import pytest
from absl import flags

from jnf_jax import programs
from jnf_jax.runtime import host_memory

is_glibc = platform.libc_ver()[0] == "glibc"


@pytest.mark.skipif(not is_glibc, reason="needs glibc")
def test_steps_do_not_fault_their_memory_in_again():
    """Page faults of ten calls that each take 100 MB and free them."""
    script = textwrap.dedent("""
        import resource, sys
        import jax, jax.numpy as jnp
        from jnf_jax.runtime import host_memory
        if sys.argv[1] == "keep":
            assert host_memory.keep_freed_memory()

        @jax.jit
        def step(x):  # x @ x is a temporary of 100 MB
            return jnp.sin(x @ x.T).sum()

        x = jnp.ones((5_000, 2))
        for _ in range(3):
            step(x).block_until_ready()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            step(x).block_until_ready()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """)

    def faults(mode):
        done = subprocess.run(
            [sys.executable, "-c", script, mode],
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    # 100 MB are 24,400 pages of 4 kB. Kept: none, or once, where another thread's arena
    # had to grow after the first calls.
    assert faults("leave") > 10 * 24_000
    assert faults("keep") < 3 * 24_400


@pytest.mark.parametrize(
    ("platforms", "expected"), [("cpu", False), ("cuda", True), ("tpu,cpu", True)]
)
def test_an_accelerator_that_is_asked_for_is_expected(platforms, expected, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    assert host_memory._expects_accelerator() == expected
    if expected:
        assert not host_memory.keep_freed_memory()


def test_a_program_keeps_its_memory_before_it_looks_for_devices(monkeypatch):
    done = []
    monkeypatch.setattr(host_memory, "keep_freed_memory", lambda: done.append("kept"))
    monkeypatch.setattr(host_memory, "collect_rarely", lambda: done.append("rarely"))
    monkeypatch.setattr(programs.app, "run", lambda main, **_: main(["program"]))
    values = flags.FlagValues()  # of this program, whatever others have run here
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    monkeypatch.setattr(flags, "FLAGS", values(["program"]) and values)
    programs.run(lambda argv: done.append(argv))
    assert done == ["kept", "rarely", ["program"]]


def test_what_a_first_step_does_not_need_is_not_imported():
    script = (
        "import sys, jnf_jax.experiments.run; "
        "print({'blackjax', 'orbax'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not host_memory.keep_freed_memory()


def test_what_was_imported_is_not_looked_through_again():
    script = textwrap.dedent("""
        import gc
        from jnf_jax.runtime import host_memory
        host_memory.collect_rarely()
        before = gc.get_freeze_count()
        assert before > 10_000, before
        assert gc.get_threshold()[0] == 100_000
        class Ring:  # garbage that only the collector finds
            alive = 0
            def __init__(self):
                self.self, Ring.alive = self, Ring.alive + 1
            def __del__(self):
                Ring.alive -= 1
        largest = 0
        for _ in range(300_000):
            Ring()
            largest = max(largest, Ring.alive)
        assert 10_000 < largest < 150_000, largest
    """)
    subprocess.run([sys.executable, "-c", script], check=True)
