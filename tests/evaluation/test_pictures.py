"""Pictures: every pixel is where it should be, and nothing is clipped unseen."""

import numpy as np
import pytest
from PIL import Image

from jnf_jax.evaluation.pictures import (
    MAX_PIXELS,
    any_to_any_grid,
    conditional_grid,
    grid,
    save_png,
)

LINE = (200, 60, 40)


def _random(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def _cells(picture, num_columns, size=48, pad=2):
    """The columns of cells right of the margin."""
    left = picture.shape[1] - num_columns * (size + pad)
    return picture[:, left:]


def test_each_image_is_in_its_cell():
    images = {"m0": _random(3, 5, 4, 3), "m1": _random(3, 5, 4, 3, seed=1)}
    picture = grid(images, pad=1, min_size=1)
    expected = np.full((1 + 2 * 6, 3 * 5, 3), 255, np.uint8)
    for r, name in enumerate(images):
        for c in range(3):
            top, left = 1 + 6 * r, 5 * c
            cell = np.rint(255 * images[name][c])
            expected[top : top + 5, left : left + 4] = cell
    np.testing.assert_array_equal(picture[:, -15:], expected)
    assert (picture[:, :-15] < 128).any()  # names of the rows


def test_small_images_are_enlarged_by_a_whole_factor():
    images = _random(1, 8, 8, 1)
    picture = grid({"m0": images}, pad=0, min_size=20)[:, -24:]
    assert picture.shape == (24, 24, 3)
    enlarged = np.kron(np.rint(255 * images[0, :, :, 0]), np.ones((3, 3)))
    for channel in range(3):
        np.testing.assert_array_equal(picture[..., channel], enlarged)


def test_each_row_keeps_its_own_aspect_amid_a_column():
    tall, wide = _random(2, 8, 4, 1), _random(2, 2, 8, 3, seed=1)
    picture = grid({"a": tall, "b": wide}, pad=0, min_size=1)[:, -16:]
    assert picture.shape == (8 + 2, 16, 3)
    for number, left in enumerate((2, 10)):
        np.testing.assert_array_equal(
            picture[:8, left : left + 4, 0], np.rint(255 * tall[number, ..., 0])
        )
    np.testing.assert_array_equal(picture[8:, 8:], np.rint(255 * wide[1]))
    assert (picture[:8, :2] == 255).all() and (picture[:8, 6:10] == 255).all()


def test_values_outside_the_range_are_clipped():
    images = np.array([-3.0, 2.0]).reshape(2, 1, 1, 1)
    picture = grid({"m0": images}, pad=0, min_size=1)
    np.testing.assert_array_equal(picture[0, -2:, 0], [0, 255])


def test_a_row_has_what_was_given_the_truth_and_every_draw():
    given, truth = _flat(10, 20), {"a": _flat(30, 40), "b": _flat(45, 55)}
    drawn = _flat(1, 2, 3, 4, 5, 6).reshape(2, 3, 8, 8, 1)
    picture = conditional_grid({"b": given}, truth, {"a": drawn})
    is_cell = (picture == picture[..., :1]).all(axis=-1)
    found = {g: np.argwhere(is_cell & (picture[..., 0] == g)) for g in range(60)}
    shown = (10, 20, 30, 40, 1, 2, 3, 4, 5, 6)
    assert all(len(found[g]) == (48 * 48 if g in shown else 0) for g in found)
    tops, lefts = ({g: found[g][:, k].min() for g in shown} for k in (0, 1))
    assert len({tops[g] for g in (10, 30, 1, 2, 3)}) == 1
    assert len({tops[g] for g in (20, 40, 4, 5, 6)}) == 1 and tops[20] > tops[10]
    for row in ((10, 30, 1, 2, 3), (20, 40, 4, 5, 6)):
        at = [lefts[g] for g in row]
        assert at == sorted(at) and np.diff(at).min() >= 48
    # A frame stands around what was given, and around nothing else.
    framed = np.argwhere((picture == LINE).all(axis=-1))
    assert len(framed) == 2 * (52 * 52 - 48 * 48)
    assert framed[:, 1].max() < lefts[30]


def test_rows_of_a_table_continue_to_the_right_in_blocks_of_equal_height():
    flat = _flat(*range(1, 7))
    picture = conditional_grid({"a": flat}, {"b": flat}, {"b": flat[:, None]}, rows=4)
    firsts = [np.argwhere((picture == g).all(axis=-1)).min(0) for g in range(1, 7)]
    assert [y for y, _ in firsts[:3]] == [y for y, _ in firsts[3:]]
    assert len({x for _, x in firsts[:3]}) == len({x for _, x in firsts[3:]}) == 1
    assert firsts[3][1] > firsts[0][1]


def test_many_tuples_continue_in_blocks_of_equal_width():
    images = np.linspace(0, 1, 20).reshape(20, 1, 1, 1) * np.ones((20, 48, 48, 1))
    picture = grid({"m0": images}, columns=16)
    cells = _cells(picture, 10)
    assert picture.shape[0] == 2 + 2 * 50 + 8
    np.testing.assert_array_equal(
        np.stack([cells[26, 24::50, 0], cells[26 + 58, 24::50, 0]]).ravel(),
        np.rint(255 * np.linspace(0, 1, 20)),
    )


def _flat(*greys):
    """Images 8 × 8, one of each grey."""
    return np.reshape(greys, (-1, 1, 1, 1)) / 255 * np.ones((8, 8, 1))


def test_a_table_frames_what_was_given_and_shows_every_draw():
    real = {"a": _flat(10, 20), "b": _flat(30, 40)}
    generated = {
        ("a",): {"b": _flat(50, 60, 65, 68).reshape(2, 2, 8, 8, 1)},
        ("b",): {"a": _flat(5, 15, 25, 35).reshape(2, 2, 8, 8, 1)},
    }
    picture = any_to_any_grid(real, generated)

    is_cell = (picture == picture[..., :1]).all(axis=-1)
    real_ones, drawn = (10, 20, 30, 40), (50, 60, 65, 68, 5, 15, 25, 35)
    greys = real_ones + drawn  # all darker than the ink
    found = {g: np.argwhere(is_cell & (picture[..., 0] == g)) for g in greys}
    # Real ones are the first column, and given once more.
    for grey, pixels in found.items():
        assert len(pixels) == 32 * 32 * (2 if grey in real_ones else 1)
    framed = (picture == LINE).all(axis=-1).sum()
    assert framed == 4 * (36 * 36 - 32 * 32)
    # Tuples are bands, modalities rows, subsets columns, and draws lie side by side.
    tops = {grey: pixels[:, 0].min() for grey, pixels in found.items()}
    lefts = {grey: pixels[:, 1].max() for grey, pixels in found.items()}
    assert tops[10] == tops[5] == tops[15] < tops[30] == tops[50] == tops[60]
    assert tops[50] < tops[20] == tops[25] == tops[35] < tops[40] == tops[65]
    assert lefts[50] < lefts[60] < lefts[5] < lefts[15] == lefts[35]


def test_the_same_images_give_the_same_file(tmp_path):
    images = {"m0": _random(4, 8, 8, 1), "m1": _random(4, 8, 8, 3)}
    first = save_png(tmp_path / "new" / "a.png", grid(images))
    second = save_png(tmp_path / "b.png", grid(images))
    assert first.read_bytes() == second.read_bytes()
    np.testing.assert_array_equal(
        np.array(Image.open(first)), grid(dict(reversed(images.items())))
    )
    assert [p.name for p in first.parent.iterdir()] == ["a.png"]


_LARGE = {
    "a vector of 100,000 features": {"a": (16, 1, 100_000, 1)},
    "40 modalities": {f"m{i:02d}": (16, 28, 28, 1) for i in range(40)},
    "images of 1 × 5,000": {"a": (16, 1, 5_000, 1), "b": (16, 5_000, 1, 3)},
    "5,000 tuples": {"a": (5_000, 4, 4, 1)},
    "a name of 4,000 letters": {"n" * 4_000: (16, 8, 8, 1)},
}


@pytest.mark.parametrize("shapes", _LARGE.values(), ids=_LARGE)
def test_a_picture_is_bounded_whatever_the_data(shapes):
    views = {m: np.full(shape, 0.2, np.float32) for m, shape in shapes.items()}
    few = {m: x[:3] for m, x in views.items()}
    given = [(m,) for m in list(views)[:10]]
    drawn = {s: {m: x[:6].reshape(3, 2, *x.shape[1:]) for m, x in views.items()}
             for s in given}  # fmt: skip
    repeated = {m: np.stack([x, x, x], axis=1) for m, x in views.items()}
    for picture in (
        grid(views),
        conditional_grid(views, views, repeated),
        any_to_any_grid(few, drawn),
    ):
        assert picture.shape[0] * picture.shape[1] < 1.5 * MAX_PIXELS
        assert (picture == 51).all(axis=-1).sum() > MAX_PIXELS / 900  # it shows them


def test_images_larger_than_a_cell_are_averaged():
    image = np.arange(600.0).reshape(1, 1, 600, 1) / 600
    cell = grid({"a": image}, pad=0, min_size=1)[0, -256:, 0]
    ends = np.arange(257) * 600 // 256
    means = [image[0, 0, a:b].mean() for a, b in zip(ends, ends[1:], strict=False)]
    np.testing.assert_array_equal(cell, np.rint(255 * np.array(means)))


def test_what_is_left_out_is_said_below_the_picture():
    views = {f"m{i:02d}": _flat(10) for i in range(13)}
    all_shown = grid({m: x for m, x in views.items() if m != "m12"})
    picture = grid(views)
    below = picture[len(all_shown) :]
    assert len(below) == 20 and (below < 128).any()
    np.testing.assert_array_equal(picture[:-20], all_shown)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: grid({"m": _random(2, 8, 8)}),
            r"`generated\[m\]` has shape \(2, 8, 8\)",
        ),
        (lambda: grid({"m": _random(2, 8, 8, 2)}), "1 or 3"),
        (
            lambda: grid({"m": np.zeros((1, 8, 8, 3), np.uint8)}),
            "is uint8, expected fl",
        ),
        (lambda: grid({"m": np.full((1, 8, 8, 3), np.nan)}), "not finite"),
        (
            lambda: grid({"m1": _random(2, 8, 8, 1), "m0": _random(3, 8, 8, 1)}),
            r"'generated\[m0\]': 3, 'generated\[m1\]': 2",
        ),
        (
            lambda: conditional_grid({}, {}, {"m": _random(2, 1, 8, 8, 1)}),
            r"`truth` lacks \['m'\], expected all of `generated`",
        ),
        (lambda: grid({}), "`generated` is empty"),
        (lambda: grid({"m0": _random(1, 8, 8, 1)}, columns=0), "`columns` is 0"),
    ],
)
def test_bad_images_are_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_only_png_is_written(tmp_path):
    with pytest.raises(ValueError, match="ends in .png"):
        save_png(tmp_path / "a.jpg", grid({"m0": _random(1, 8, 8, 1)}))
    assert not list(tmp_path.iterdir())
