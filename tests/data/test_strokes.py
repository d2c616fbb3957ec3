"""Resampling pen paths: equal steps of ink, none of it in the air."""

import numpy as np

from jnf_jax.data import strokes


def _points(steps, ends, num):
    steps, ends = np.array(steps, np.int8), np.array(ends, bool)
    return strokes.resample(steps, ends, num_points=num, side=10)


def test_two_strokes_keep_equal_steps_and_the_pen_is_lifted_between():
    # From (0, 2) right to (4, 2); lifted to (4, 6); down to (4, 8).
    points = _points([[0, 2], [4, 0], [0, 0], [0, 4], [0, 2]], [0, 0, 1, 0, 1], 7)
    np.testing.assert_allclose(10 * points[:5, 0], [0, 1, 2, 3, 4])
    np.testing.assert_allclose(points[:5, 1], 0.2)
    np.testing.assert_allclose(10 * points[5:, :2], [[4, 7], [4, 8]])
    np.testing.assert_array_equal(points[:, 2], [0, 0, 0, 0, 1, 0, 1])


def test_a_dot_is_all_points_in_one_place():
    points = _points([[3, 4]], [1], 4)
    np.testing.assert_allclose(points[:, :2], [[0.3, 0.4]] * 4)


def test_a_drawing_has_ink_on_the_strokes_and_not_between_them():
    points = _points([[2, 2], [6, 0], [0, 0], [-6, 6], [6, 0]], [0, 0, 1, 0, 1], 32)
    drawing = strokes.draw(points[None], size=40)[0, ..., 0]
    assert drawing[8, 12:28].all() and drawing[32, 12:28].all()
    assert not drawing[12:29].any()
