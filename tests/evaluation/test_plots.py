"""Histograms and curves: what is drawn where."""

import numpy as np
import pytest

from jnf_jax.evaluation.plots import histogram, reliability


def peak_of(picture, colour):
    """The column in which the line of that colour is highest, below the legend."""
    near = np.abs(picture[50:].astype(int) - colour).max(axis=-1) < 20
    rows = np.where(near.any(axis=0), near.argmax(axis=0), len(near))
    return int(rows.argmin())


def test_samples_lie_where_their_values_are():
    rng = np.random.default_rng(0)
    left, right = rng.normal(-10, 1, 5_000), rng.normal(10, 1, 5_000)
    picture = histogram({"left": left, "right": right}, title="z")
    assert picture.dtype == np.uint8
    # The axis, from column 40 to 680, spans both: −13 to 13, peaks at ±10.
    assert abs(peak_of(picture, (31, 90, 170)) - 114) < 30
    assert abs(peak_of(picture, (200, 60, 40)) - 606) < 30


def test_one_value_has_an_axis():
    assert histogram({"a": np.full(5, 3.0)}, title="").std() > 0


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({}, "expected 1 to 4"),
        ({str(i): np.zeros(2) for i in range(5)}, "expected 1 to 4"),
        ({"a": np.array([])}, r"`samples\['a'\]` are 0 values"),
        ({"a": np.array([np.nan])}, "all finite"),
    ],
)
def test_faults(samples, message):
    with pytest.raises(ValueError, match=message):
        histogram(samples, title="")


def test_a_curve_of_right_intervals_lies_on_the_diagonal():
    curve = {level: level / 100 for level in range(5, 100, 5)}
    right, narrow = (
        reliability({"a": {p: share * x for p, x in curve.items()}}, title="t")
        for share in (1.0, 0.5)
    )
    blue = [
        np.abs(p[:, 200:].astype(int) - (31, 119, 180)).max(-1) < 20
        for p in (right, narrow)
    ]
    heights = [np.nonzero(of)[0].mean() for of in blue]
    assert heights[0] < heights[1] - 50  # rows go down
    with pytest.raises(ValueError, match="`curves` is empty"):
        reliability({}, title="t")
