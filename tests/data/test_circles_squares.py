"""The toy set: areas in closed form, the shared bit, private radii."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.data import circles_squares, load

PIXEL = (2.0 / 31.0) ** 2  # area of one grid point's cell


@pytest.fixture(scope="module")
def toy():
    return load("circles_squares", num_train=4000, num_validation=200, num_test=300)


def test_shapes_sizes_and_names(toy):
    assert toy.shapes == {"circle": (32, 32, 1), "square": (32, 32, 1)}
    assert toy.record["sizes"] == {"train": 4000, "validation": 200, "test": 300}
    assert toy.num_classes == 2
    defaults = circles_squares.Settings()
    assert (defaults.num_train, defaults.num_validation, defaults.num_test) == (
        140_000,
        30_000,
        30_000,
    )


@pytest.mark.parametrize("radius", [0.35, 0.6, 0.8])
def test_areas_are_those_of_discs_diamonds_and_rings(radius):
    # filled: pi r² and 2 r²; rings (r ± 1/8): pi r / 2 and r.
    closed = {"circle": (np.pi * radius**2, np.pi * radius / 2)}
    closed["square"] = (2 * radius**2, radius)
    for name, norm in circles_squares.distances().items():
        pictures = circles_squares.render(
            norm, jnp.full(2, radius), jnp.array([1, 0], jnp.uint8)
        )
        areas = np.asarray(pictures).sum((1, 2, 3)) * PIXEL
        # The boundary, at most 2 pi (r + 1/8) long, blurs the count by part of a pixel.
        np.testing.assert_allclose(areas, closed[name], atol=0.06)


def test_pictures_are_binary_and_the_bit_is_read_off_each(toy):
    split = toy.splits["train"]
    batch = toy.fetch(split.arrays, jnp.arange(split.size))
    for pictures in batch.values():
        assert set(np.unique(pictures)) == {0.0, 1.0}
        np.testing.assert_array_equal(
            circles_squares.is_filled(pictures), split.labels == 1
        )


def test_the_bit_is_shared_and_balanced_and_radii_are_not(toy):
    split = toy.splits["train"]
    assert split.labels.sum() == 2000
    radii = split.arrays["radii"]
    assert radii.min() >= 0.3 and radii.max() <= 0.9
    # U(0.3, 0.9): mean 0.6, sd 0.173; 4 standard errors of 4000 draws.
    np.testing.assert_allclose(radii.mean(axis=0), 0.6, atol=0.011)
    together = np.corrcoef(np.column_stack([radii, split.labels]).T)
    assert np.abs(together[np.triu_indices(3, 1)]).max() < 4 / np.sqrt(4000)


def test_fetch_is_the_same_under_jit_and_follows_the_seed(toy):
    split, indices = toy.splits["test"], jnp.array([3, 1, 250])
    batch = toy.fetch(split.arrays, indices)
    jitted = jax.jit(toy.fetch)(split.arrays, indices)
    jax.tree.map(np.testing.assert_array_equal, batch, jitted)
    other = load("circles_squares", seed=1, num_train=2, num_validation=2, num_test=300)
    assert other.record["checksums"]["test"] != toy.record["checksums"]["test"]


def test_waves_are_private_and_leave_the_rest_as_it_is(toy):
    sizes = dict(num_train=4000, num_validation=200, num_test=300)
    noisy = load("circles_squares", **sizes, noise=0.45)
    assert (toy.name, noisy.name) == ("circles_squares", "circles_squares_noise_0.45")
    split, plain = noisy.splits["train"], toy.splits["train"]
    np.testing.assert_array_equal(split.labels, plain.labels)
    np.testing.assert_array_equal(split.arrays["radii"], plain.arrays["radii"])
    rows = jnp.arange(1000)
    clean, batch = plain.arrays, toy.fetch(split.arrays, rows)
    moved = {}
    for m, ink in toy.fetch(clean, rows).items():
        moved[m] = np.abs(batch[m] - ink).reshape(1000, -1)
        assert 0 <= moved[m].min() and 0.4 < moved[m].max() < 0.45
        np.testing.assert_array_equal(
            circles_squares.is_filled(batch[m]), split.labels[:1000] == 1
        )
    # Each pixel's waves in one modality against those in the other; 4 s.e. are 0.13.
    a, b = ((x - x.mean(0)) / x.std(0) for x in moved.values())
    assert np.abs((a * b).mean(0)).max() < 0.2


def test_the_amount_of_waves_is_in_the_checksums():
    records = [
        load("circles_squares", num_train=8, num_validation=2, num_test=2, noise=a)
        for a in (0.1, 0.2)
    ]
    first, second = (r.record["checksums"]["train"] for r in records)
    assert {k for k in first if first[k] != second[k]} == {"noise"}


def test_bad_settings_are_all_named():
    with pytest.raises(ValueError) as caught:
        load("circles_squares", num_train=0, seed=-1, noise=0.6)
    assert "`data.num_train` is 0, expected 2 to" in str(caught.value)
    assert "`data.seed` is -1" in str(caught.value)
    assert "`data.noise` is 0.6, expected 0 to 0.5" in str(caught.value)
