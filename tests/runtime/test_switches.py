"""JAX's switches: refused by name where numbers would be others, obeyed elsewhere."""

import jax
import jax.numpy as jnp
import ml_collections
import pytest

from jnf_jax.experiments.experiment import open_experiment
from jnf_jax.runtime import switches

WRONG = {
    "jax_enable_x64": True,
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_random_seed_offset": 1,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_transfer_guard": "disallow",
    "jax_transfer_guard_host_to_device": "disallow",
    "jax_debug_infs": True,
}


@pytest.fixture
def switch():
    """``switch(name, value)``, undone afterwards."""
    before = {}

    def set_to(name, value):
        before.setdefault(name, getattr(jax.config, name))
        jax.config.update(name, value)

    yield set_to
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_a_switch_that_changes_numbers_is_refused_before_a_config_is_read(
    switch, name, value
):
    switches.check()
    switch(name, value)
    with pytest.raises(ValueError, match=f"^`{name}` is {value!r}, expected "):
        open_experiment(ml_collections.ConfigDict())


def test_there_is_a_case_for_each_that_is_refused():
    assert {*WRONG} == {*switches.EXPECTED}


def test_a_context_is_a_way_on(switch):
    switch("jax_enable_x64", True)
    with jax.enable_x64(False):
        switches.check()
        assert jnp.ones(1).dtype == jnp.float32
