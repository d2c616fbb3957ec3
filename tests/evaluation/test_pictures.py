"""Pictures: every pixel is where it should be, and nothing is clipped unseen."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jnf_jax.evaluation.pictures import (
    conditional_grid,
    grid,
    save_png,
    unconditional_grid,
)


def _random(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def test_grid_places_each_image_in_its_cell():
    images = _random(2, 3, 5, 4, 3)
    picture = grid(images, pad=1, min_size=1)
    expected = np.full((1 + 2 * 6, 1 + 3 * 5, 3), 255, np.uint8)
    for r in range(2):
        for c in range(3):
            top, left = 1 + 6 * r, 1 + 5 * c
            expected[top : top + 5, left : left + 4] = np.rint(255 * images[r, c])
    np.testing.assert_array_equal(picture, expected)


def test_small_images_are_enlarged_by_a_whole_factor():
    images = _random(1, 1, 8, 8, 1)
    picture = grid(images, pad=0, min_size=20)
    assert picture.shape == (24, 24, 3)
    enlarged = np.kron(np.rint(255 * images[0, 0, :, :, 0]), np.ones((3, 3)))
    for channel in range(3):
        np.testing.assert_array_equal(picture[..., channel], enlarged)


def test_rows_of_other_sizes_share_one_cell():
    small, large = _random(2, 4, 4, 1), _random(2, 8, 8, 3, seed=1)
    picture = grid([small, large], pad=0, min_size=1)
    assert picture.shape == (16, 16, 3)
    np.testing.assert_array_equal(
        picture[:8:2, :8:2, 0], np.rint(255 * small[0, ..., 0])
    )
    np.testing.assert_array_equal(picture[8:, 8:], np.rint(255 * large[1]))


def test_a_shorter_row_leaves_white():
    picture = grid([_random(1, 4, 4, 1), _random(2, 4, 4, 1)], pad=0, min_size=1)
    assert (picture[:4, 4:] == 255).all()


def test_values_outside_the_range_are_clipped():
    picture = grid(np.array([-3.0, 2.0]).reshape(1, 2, 1, 1, 1), pad=0, min_size=1)
    np.testing.assert_array_equal(picture[0, :, 0], [0, 255])


def test_labels_are_drawn_in_a_margin_and_leave_the_images_alone():
    images = jnp.asarray(_random(2, 2, 48, 48, 3))
    plain = grid(images)
    labelled = grid(images, labels=["m0", "a longer caption"])
    margin = labelled.shape[1] - plain.shape[1]
    assert margin > 60
    np.testing.assert_array_equal(labelled[:, margin:], plain)
    for half in (labelled[:50, :margin], labelled[50:, :margin]):
        assert (half < 128).any()


def _cells(picture, num_columns, size=48, pad=2):
    """The columns of cells right of the margin."""
    left = picture.shape[1] - num_columns * (size + pad)
    return picture[:, left:]


def test_conditional_grid_shows_given_above_generated():
    given, drawn = np.zeros((3, 48, 48, 1)), np.full((2, 3, 48, 48, 3), 0.5)
    picture = conditional_grid({"m0": given}, {"m1": drawn, "m2": drawn[0]})
    column = _cells(picture, 3)[:, 20]
    is_line = (column == (200, 60, 40)).all(axis=-1)
    assert is_line.sum() == 2  # one line, two pixels thick
    line = int(np.argmax(is_line))
    assert (column[:line] == 0).all(axis=-1).sum() == 48
    assert (column[line:] == 128).all(axis=-1).sum() == 3 * 48


def test_many_tuples_continue_in_blocks_of_equal_width():
    images = np.linspace(0, 1, 20).reshape(20, 1, 1, 1) * np.ones((20, 48, 48, 1))
    picture = unconditional_grid({"m0": images}, columns=16)
    cells = _cells(picture, 10)
    assert picture.shape[0] == 2 + 2 * 50 + 8
    np.testing.assert_array_equal(
        np.stack([cells[26, 24::50, 0], cells[26 + 58, 24::50, 0]]).ravel(),
        np.rint(255 * np.linspace(0, 1, 20)),
    )


def test_the_same_images_give_the_same_file(tmp_path):
    images = {"m0": _random(4, 8, 8, 1), "m1": _random(4, 8, 8, 3)}
    first = save_png(tmp_path / "new" / "a.png", unconditional_grid(images))
    second = save_png(tmp_path / "b.png", unconditional_grid(images))
    assert first.read_bytes() == second.read_bytes()
    np.testing.assert_array_equal(
        np.array(Image.open(first)), unconditional_grid(dict(reversed(images.items())))
    )
    assert [p.name for p in first.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grid([]), "`rows` is empty"),
        (lambda: grid([_random(2, 8, 8)]), r"`rows\[0\]` has shape \(2, 8, 8\)"),
        (lambda: grid([_random(2, 8, 8, 2)]), "1 or 3"),
        (lambda: grid([np.zeros((1, 8, 8, 3), np.uint8)]), "is uint8, expected floats"),
        (lambda: grid([np.full((1, 8, 8, 3), np.nan)]), "not finite"),
        (lambda: grid([_random(1, 8, 8, 1)], labels=["a", "b"]), "has 2 entries"),
        (lambda: conditional_grid({}, {"m0": _random(1, 8, 8, 1)}), "at least one"),
        (
            lambda: conditional_grid(
                {"m0": _random(3, 8, 8, 1)}, {"m1": _random(2, 8, 8, 1)}
            ),
            "'given m0': 3, 'm1 drawn': 2",
        ),
        (lambda: unconditional_grid({}), "`generated` is empty"),
        (
            lambda: unconditional_grid({"m0": _random(1, 8, 8, 1)}, columns=0),
            "`columns` is 0",
        ),
    ],
)
def test_bad_images_are_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_only_png_is_written(tmp_path):
    with pytest.raises(ValueError, match="ends in .png"):
        save_png(tmp_path / "a.jpg", grid(_random(1, 1, 8, 8, 1)))
    assert not list(tmp_path.iterdir())
