"""Shapes are checked at run time, in tests only; programs compile quickly, and once."""

import contextlib
import os
import tempfile
from pathlib import Path

# Many tests compile the same programs again: the workers of a run, and the programs
# that they start, share what was compiled. The first process to come here makes it.
if "JNF_JAX_TESTS_SHARED" not in os.environ:
    _SHARED = tempfile.TemporaryDirectory(prefix="jnf_jax-tests-")
    os.environ["JNF_JAX_TESTS_SHARED"] = _SHARED.name
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["JNF_JAX_TESTS_SHARED"] + "/xla"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("jnf_jax", "beartype.beartype")

from jnf_jax.runtime import host_memory

host_memory.collect_rarely()  # tests trace more than they compute


@contextlib.contextmanager
def compiling_quickly():
    """XLA leaves most optimisations out, here and in children: other rounding."""
    before = jax.config.read("jax_disable_most_optimizations")  # one within another
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
            yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def quick_compiles():
    """For modules that compile for minutes and compute for seconds."""
    with compiling_quickly():
        yield


@pytest.fixture
def num_compiled():
    """A function that tells how many programs were compiled so far."""
    names = []

    def listen(name, seconds, **_):
        names.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield lambda: sum(name.endswith("backend_compile_duration") for name in names)
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture(scope="session")
def user_cache(tmp_path_factory):
    """Classifiers of tests never meet those of the user."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(root))
        yield root


@pytest.fixture(scope="session")
def trained(user_cache):
    """A workdir with both stages of `tiny_config` trained and evaluated; its record.

    The first worker that wants it makes it for all.
    """
    from tiny import tiny_config

    from jnf_jax.data.tfds_cache import locked
    from jnf_jax.experiments import records
    from jnf_jax.experiments.run import train_and_evaluate

    workdir = Path(os.environ["JNF_JAX_TESTS_SHARED"]) / "trained"
    with locked(workdir), compiling_quickly():
        if (workdir / "results.json").exists():
            return workdir, records.read(workdir / "results.json")
        record = train_and_evaluate(
            tiny_config(),
            workdir,
            config_name="digits/jnf",
            command="python -m jnf_jax.train …",
        )
    return workdir, record
