"""XLA's options: used where known, never in the way where not."""

import jax
import numpy as np

from jnf_jax.training import compiling


def test_options_of_this_version_compile():
    a = jax.random.normal(jax.random.key(0), (40, 30))
    options = compiling.compiler_options("cpu")
    product = jax.jit(lambda a: a @ a.T, compiler_options=options)
    np.testing.assert_allclose(product(a), np.asarray(a) @ np.asarray(a).T, atol=1e-4)


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch):
    unknown, known = {"xla_cpu_of_another_year": "1"}, compiling._CPU_OPTIONS
    for offered, taken in ((unknown,), {}), ((unknown, *known), known[0]):
        monkeypatch.setattr(compiling, "_CPU_OPTIONS", offered)
        compiling.compiler_options.cache_clear()
        assert compiling.compiler_options("cpu") == taken
    compiling.compiler_options.cache_clear()


def test_other_backends_keep_their_defaults():
    assert compiling.compiler_options("gpu") == {}
