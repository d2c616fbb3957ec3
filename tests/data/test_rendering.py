"""Crops and inversion."""

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.data import rendering

RNG = np.random.default_rng(0)
BACKGROUND = RNG.integers(0, 256, (20, 31, 3), dtype=np.uint8)
INDICES = jnp.arange(200)
KEYS = {
    (seed, split): rendering.split_key(seed, split, "crops")
    for seed in (0, 1)
    for split in ("train", "test")
}


def crops(background=BACKGROUND, seed=0, split="train", modality=0, indices=INDICES):
    key = jnp.asarray(KEYS[seed, split])
    return rendering.random_crops(jnp.asarray(background), key, modality, indices, 16)


def test_ink_is_exactly_inverted_and_the_rest_is_kept():
    picture = jnp.asarray(RNG.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8))
    ink = jnp.asarray(RNG.random((3, 8, 8)) < 0.5)
    shown = np.asarray(rendering.invert_on_ink(picture, ink), np.float64) * 255.0
    expected = np.where(np.asarray(ink)[..., None], 255 - np.asarray(picture), picture)
    np.testing.assert_array_equal(np.round(shown), expected)
    np.testing.assert_allclose(shown, expected, atol=1e-4)


def test_bytes_become_the_closed_unit_interval():
    unit = rendering.to_unit(jnp.arange(256, dtype=jnp.uint8))
    assert unit.dtype == jnp.float32
    assert float(unit[0]) == 0.0 and float(unit[-1]) == 1.0
    assert bool((jnp.diff(unit) > 0).all())


def test_every_crop_is_a_window_and_every_offset_occurs():
    # A background that spells out its coordinates tells where a crop was taken.
    rows, columns = np.meshgrid(np.arange(20), np.arange(31), indexing="ij")
    spelled = np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)
    corner = np.asarray(crops(spelled))[:, 0, 0, :2]
    window = np.asarray(crops())
    for (top, left), pixels in zip(corner, window, strict=True):
        np.testing.assert_array_equal(
            pixels, BACKGROUND[top : top + 16, left : left + 16]
        )
    assert set(corner[:, 0]) == set(range(5)) and set(corner[:, 1]) == set(range(16))


def test_crops_follow_seed_split_modality_and_index():
    one = crops()
    np.testing.assert_array_equal(one, crops())
    np.testing.assert_array_equal(one[50:60], crops(indices=INDICES[50:60]))
    for change in ({"seed": 1}, {"split": "test"}, {"modality": 1}):
        differs = (one != crops(**change)).any(axis=(1, 2, 3))
        assert differs.mean() > 0.9  # 1 of 5 · 16 offsets agrees by chance


def test_crops_are_the_same_under_jit_and_whatever_the_default_generator():
    one = crops()
    jitted = jax.jit(lambda background, i: crops(background, indices=i))
    np.testing.assert_array_equal(one, jitted(BACKGROUND, INDICES))
    with jax.default_prng_impl("rbg"):
        np.testing.assert_array_equal(one, crops())
        again = rendering.split_key(0, "train", "crops")
        np.testing.assert_array_equal(KEYS[0, "train"], again)


def test_a_background_of_the_crop_size_has_one_crop():
    small = BACKGROUND[:16, :16]
    np.testing.assert_array_equal(
        crops(small, indices=INDICES[:3]), np.stack([small] * 3)
    )
