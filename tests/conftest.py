"""Shapes are checked at run time, in tests only; programs compile quickly, and once."""

import gc
import os
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path

# Many tests compile the same programs again: the workers of a run, and the programs
# that they start, share what was compiled. The first process to come here makes it.
if "JNF_JAX_TESTS_SHARED" not in os.environ:
    _SHARED = tempfile.TemporaryDirectory(prefix="jnf_jax-tests-")
    os.environ["JNF_JAX_TESTS_SHARED"] = _SHARED.name
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["JNF_JAX_TESTS_SHARED"] + "/xla"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

# Each worker has a core: threads of one would wait, busily, for those of the others.
for _LIBRARY in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_LIBRARY}_NUM_THREADS", "1")

# Tests compile for minutes and compute for seconds: XLA leaves out most optimisations,
# here and in the programs that tests start. An unknown name in XLA_FLAGS would end the
# process, so only versions that were tried get any.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
_AS_USERS_HAVE_THEM = {}
if version("jaxlib").startswith("0.10."):
    _AS_USERS_HAVE_THEM = {
        "xla_cpu_use_fusion_emitters": True,
        "xla_cpu_parallel_codegen_split_count": 32,
    }
    _FLAGS = (
        " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    )
    if _FLAGS not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + _FLAGS

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("jnf_jax", "beartype.beartype")

from jnf_jax.runtime import host_memory

host_memory.collect_rarely()  # tests trace more than they compute


# A worker that begins a long file last leaves the others idle: long ones go first.
_FIRST = ("benchmarks", "faults", "multihost", "experiments", "test_", "methods")


def pytest_collection_modifyitems(items):
    tests = Path(__file__).parent

    def place(item):
        room = item.path.relative_to(tests).parts[0]
        return [not room.startswith(first) for first in _FIRST]

    items.sort(key=place)


_limit = 1.2e9
"""Bytes of a worker above which compiled programs are let go."""


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """Compiled programs are let go once they fill a worker: it would grow to 5 GB."""
    global _limit
    yield
    if Path("/proc/self/statm").exists() and _resident() > _limit:
        jax.clear_caches()
        gc.collect()  # takes seconds
        # Not all memory comes back: the next time is when as much again has gathered.
        _limit = max(1.2e9, _resident() + 0.3e9)


@pytest.fixture
def fully_optimised():
    """``compiler_options`` of programs that are compiled as users have them.

    For tests of that, and for the few that compute for longer than they compile.
    """
    jax.config.update("jax_disable_most_optimizations", False)
    yield dict(_AS_USERS_HAVE_THEM)
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def num_compiled():
    """A function that tells how many programs were compiled so far."""
    names = []

    def listen(name, seconds, **_):
        names.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield lambda: sum(name.endswith("backend_compile_duration") for name in names)
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture
def hears_interrupts():
    """Ctrl-C is heard, though a shell's background jobs are started deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
    with locked(workdir):
        if (workdir / "results.json").exists():
            return workdir, records.read(workdir / "results.json")
        record = train_and_evaluate(
            tiny_config(),
            workdir,
            config_name="digits/jnf",
            command="python -m jnf_jax.train …",
        )
    return workdir, record
