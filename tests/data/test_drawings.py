"""Vectors and sequences as pictures: every point of a line is where its value is."""

import numpy as np
import pytest

from jnf_jax.data.drawings import HEIGHT, MAX_TRACES, WIDTH, draw


def heights(picture, colour):
    """The middle of a colour in each column, as a share of the height, upwards."""
    is_line = np.abs(picture - colour).sum(axis=-1) < 0.6
    rows = np.arange(HEIGHT)[:, None]
    with np.errstate(invalid="ignore"):
        middle = (rows * is_line).sum(0) / is_line.sum(0)
    return 1 - (middle + 0.5 - 3) / (HEIGHT - 6)


BLUE, RED = np.array([0x1F, 0x5A, 0xAA]) / 255, np.array([0xC8, 0x3C, 0x28]) / 255


def test_a_vector_is_a_line_through_its_values():
    vector = np.array([[-1.0, 1.0, 0.0, 0.0, 3.0]])  # 3 is cut off at the top
    (picture,) = draw(vector, low=-1.0, high=1.0)
    assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.float32
    x = np.linspace(3, WIDTH - 4, 5).astype(int)
    found = heights(picture, BLUE)[x]
    np.testing.assert_allclose(found, [0, 1, 0.5, 0.5, 1], atol=0.04)


def test_many_features_are_their_mean_in_a_band_of_all():
    vector = np.tile([[0.25, 0.75]], WIDTH * 500)[:1]
    (picture,) = draw(vector, low=0.0, high=1.0)
    inner = slice(8, WIDTH - 8)
    np.testing.assert_allclose(heights(picture, BLUE)[inner], 0.5, atol=0.03)
    band = (np.abs(picture - np.array([0xA9, 0xC3, 0xE6]) / 255).sum(-1) < 0.1)[
        :, inner
    ]
    ends = [1 - (np.flatnonzero(of)[[0, -1]] + 0.5 - 3) / (HEIGHT - 6) for of in band.T]
    np.testing.assert_allclose(ends, [[0.75, 0.25]] * len(ends), atol=0.04)


def test_sequences_are_traces_and_two_channels_a_path_too():
    up = np.linspace(0, 1, 9)
    three = np.stack([up, 0 * up, 1 - up], axis=-1)
    (picture,) = draw(three[None], low=0.0, high=1.0)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert heights(picture, BLUE)[20] < heights(picture, BLUE)[70]
    np.testing.assert_allclose(heights(picture, RED)[[20, 70]], 0, atol=0.04)
    (both,) = draw(three[None, :, [0, 2]], low=0.0, high=1.0)
    assert both.shape == (HEIGHT, HEIGHT + WIDTH, 3)
    # The path falls from left to right, and starts with a dot.
    path = heights(both[:, :HEIGHT], BLUE)
    assert path[12] > 0.8 and path[HEIGHT - 12] < 0.2
    is_dot = np.abs(both[:, :HEIGHT] - RED).sum(axis=-1) < 0.4
    assert np.argwhere(is_dot).max() < 8


@pytest.mark.parametrize(
    ("shape", "size"),
    [((2, 30, MAX_TRACES + 1), (MAX_TRACES + 1, 30, 1)), ((2, 4, 5, 2), (4, 10, 1))],
)
def test_what_has_too_many_channels_is_a_heat_map(shape, size):
    values = np.random.default_rng(0).uniform(-2, 2, shape)
    picture = draw(values, low=-1.0, high=1.0)
    assert picture.shape == (2, *size)
    shares = np.clip((values + 1) / 2, 0, 1)
    if len(shape) == 3:
        np.testing.assert_allclose(picture[1, 3, 7, 0], shares[1, 7, 3], atol=1e-6)
    else:
        np.testing.assert_allclose(picture[1, 2, 5:, 0], shares[1, 2, :, 1], atol=1e-6)


def test_a_range_of_no_width_and_a_single_value_are_drawn():
    assert np.isfinite(draw(np.ones((3, 1)), low=1.0, high=1.0)).all()
    assert (draw(np.ones((1, 1)), low=0.0, high=2.0) < 0.7).any()
