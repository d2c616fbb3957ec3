"""XLA's options: used where known, never in the way where not."""

import jax
import numpy as np
import pytest

from jnf_jax.training import compiling


@pytest.mark.parametrize("once", [False, True])
def test_options_of_this_version_compile(once):
    a = np.float32(np.random.default_rng(0).standard_normal((40, 30)))
    options = compiling.compiler_options("cpu", once)
    assert options
    product = jax.jit(lambda a: a @ a.T, compiler_options=options)
    np.testing.assert_allclose(product(a), np.asarray(a) @ np.asarray(a).T, atol=1e-4)


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch):
    unknown, known = {"xla_cpu_of_another_year": "1"}, compiling._CPU_OPTIONS
    for offered, taken in ((unknown,), {}), ((unknown, *known), known[0]):
        monkeypatch.setattr(compiling, "_CPU_OPTIONS", offered)
        compiling.compiler_options.cache_clear()
        assert compiling.compiler_options("cpu") == taken
    compiling.compiler_options.cache_clear()


def test_drawing_parameters_gives_the_same_bits_at_either_level(fully_optimised):
    def draw(key):
        return jax.nn.initializers.he_normal()(key, (30, 7)), jax.random.normal(key)

    once = fully_optimised | compiling.compiler_options("cpu", once=True)
    once = jax.jit(draw, compiler_options=once)
    options = fully_optimised | compiling.compiler_options("cpu")
    for key in jax.random.split(jax.random.key(0), 3):
        often = jax.jit(draw, compiler_options=options)(key)
        jax.tree.map(np.testing.assert_array_equal, once(key), often)


def test_other_backends_keep_their_defaults():
    assert compiling.compiler_options("gpu") == {}
    assert compiling.compiler_options("gpu", once=True) == {}
