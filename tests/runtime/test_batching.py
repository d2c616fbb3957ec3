"""Every datum counts once, whatever the batch size, and padding never comes back."""

import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.runtime.batching import batches, map_batches


@pytest.mark.parametrize(("size", "batch_size"), [(23, 10), (20, 10), (1, 4), (3, 1)])
def test_batches_cover_every_index_once(size, batch_size):
    parts = list(batches(size, batch_size))
    assert all(len(rows) == batch_size for rows, _ in parts)
    covered = np.concatenate([rows[:count] for rows, count in parts])
    np.testing.assert_array_equal(covered, np.arange(size))


@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
def test_map_batches_joins_in_order(batch_size):
    numbers = []

    def program(number, rows):
        numbers.append(number)
        assert len(rows) == min(batch_size, 7)
        return {"square": jnp.asarray(rows) ** 2}, None

    found, nothing = map_batches(program, 7, batch_size)
    assert nothing is None
    np.testing.assert_array_equal(found["square"], np.arange(7) ** 2)
    assert numbers == list(range(-(-7 // batch_size)))
