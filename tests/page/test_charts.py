"""Charts: points lie where their numbers say."""

import re

import pytest

from jnf_jax.page.charts import (
    MAX_POINTS,
    Line,
    class_colour,
    cloud,
    line_chart,
    ticks,
)


def points(path):
    return [tuple(map(float, p.split())) for p in re.findall(r"[\d.-]+ [\d.-]+", path)]


def test_a_line_goes_through_its_points():
    [path] = re.findall(
        r'class="line" [^>]*d="([^"]+)"',
        line_chart([Line("a", [0, 50, 100], [1.0, 0.0, 0.5], 0)], title="loss"),
    )
    (x0, y0), (x1, y1), (x2, y2) = points(path)
    assert x0 == 0 and x1 == pytest.approx(x2 / 2, abs=0.1)
    assert y0 < y2 < y1  # downwards, and half way between the others
    assert y2 == pytest.approx((y0 + y1) / 2, abs=0.1)


def test_the_start_of_training_does_not_press_the_rest_flat():
    steps = [*range(100)]
    losses = [1e6, 1e5] + [1.0 - step / 200 for step in steps[2:]]
    chart = line_chart([Line("a", steps, losses, 0)], title="loss")
    [path] = re.findall(r'class="line" [^>]*d="([^"]+)"', chart)
    heights = [y for _, y in points(path)[10:]]
    assert max(heights) - min(heights) > 150


def test_lines_are_thinned_to_their_last_point():
    chart = line_chart([Line("a", [*range(10_000)], [0.0] * 10_000, 0)], title="")
    [path] = re.findall(r'class="line" [^>]*d="([^"]+)"', chart)
    assert len(points(path)) <= MAX_POINTS + 1
    assert points(path)[-1][0] == max(x for x, _ in points(path))
    assert not line_chart([Line("a", [], [], 0)], title="")


def test_ticks_are_round_and_inside():
    for low, high in ((0.0, 1.0), (-477.2, 3.1), (1e-4, 2e-4), (0, 30_000)):
        found = ticks(low, high, 5)
        assert 2 <= len(found) <= 6 and low <= found[0] and found[-1] <= high


def test_a_cloud_has_one_scale_and_a_colour_a_class():
    drawn = cloud([(0, 0), (4, 0), (0, 2)], [7, 7, 9], {"p": [(4, 2)]}, title="<z>")
    assert 'aria-label="&lt;z&gt;"' in drawn
    first, second = re.findall(r'class="points" [^>]*d="([^"]+)"', drawn)
    (x0, y0), (x1, y1) = points(first)
    [(x2, y2)] = points(second)
    assert y0 == y1 and x0 == x2
    assert x1 - x0 == pytest.approx(2 * (y0 - y2), abs=0.2)
    [cross] = re.findall(r'class="cross" d="([^"]+)"', drawn)
    assert points(cross)[0] == (x1, y2)
    assert len({class_colour(i, 25) for i in range(25)}) == 25
