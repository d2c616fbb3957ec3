"""Denoising with a time for each view, against scores that are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_codes import SCHEDULE, SIZES, draws, exact, least_loss

from jnf_jax.losses import denoising_loss, multi_time_denoising_loss
from jnf_jax.noise_schedule import SMALLEST_TIME

NUM = 20_000
TIMES = np.linspace(SMALLEST_TIME, 1, 2_001)


def loss_of(factor, key, z, present=None, score=exact, **options):
    return multi_time_denoising_loss(
        factor, key, z, scaled_score=score, schedule=SCHEDULE, present=present,
        **options,
    )  # fmt: skip


def test_the_exact_score_has_the_least_loss_there_is():
    probability, z, key = 0.6, draws(0, NUM), jax.random.key(1)
    # A third of the rows each: all views, a alone, b alone.
    rows = jnp.arange(NUM) % 3
    present = {"a": rows != 2, "b": rows != 1}

    def mean(factor):
        found = loss_of(factor, key, z, present, conditioning_probability=probability)
        return found.mean(), found

    @jax.jit
    def ask(factor):
        slope = jax.grad(lambda f: mean(f)[0])
        return mean(factor)[1], slope(factor), jax.grad(slope)(factor)

    found, slope, curvature = jax.device_get(ask(1.0))
    # Of all views: b given a, a given b, or both with nothing given.
    given_one = least_loss([2], TIMES, [0, 1]) + least_loss([0, 1], TIMES, [2])
    share = probability / 2
    expected = [
        share / 2 * given_one + (1 - share) * least_loss([0, 1, 2], TIMES),
        least_loss([0, 1], TIMES),
        least_loss([2], TIMES),
    ]
    for i, value in enumerate(expected):
        own = found[np.asarray(rows) == i]
        # 5 standard errors, and what is left of a view at t = 1: a(1)² < 1e-4.
        assert abs(own.mean() - value) < 5 * own.std() / len(own) ** 0.5 + 1e-4
    # The same noise: the minimum is at the exact score, and not beside it.
    assert curvature > 0.1 and abs(slope) < 0.02 * curvature


def test_of_one_view_it_is_the_denoising_loss():
    x = draws(0, 50)["a"]
    blind = lambda params, z, t: params * z - t[:, None]  # noqa: E731
    by_view = lambda params, z, t: {"a": blind(params, z["a"], t["a"])}  # noqa: E731
    options = dict(schedule=SCHEDULE, weight=lambda t: SCHEDULE.signal(t) ** -2)

    @jax.jit
    def both(key):
        return denoising_loss(0.3, key, x, scaled_score=blind, **options), (
            multi_time_denoising_loss(
                0.3, key, {"a": x}, scaled_score=by_view, **options
            )
        )

    expected, found = both(jax.random.key(3))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_given_views_are_clean_at_time_0_and_absent_ones_are_noise_at_time_1():
    num = 4_000
    z = {m: jnp.full((num, size), 30.0) for m, size in SIZES.items()}
    z["c"] = jnp.full((num, 1), 30.0)
    has_c = jnp.arange(num) < num // 2

    @jax.jit
    def ask(key):
        seen = []

        def spy(params, z, t):
            seen.append((z, t))
            return jax.tree.map(jnp.zeros_like, z)

        present = {"a": jnp.ones(num, bool), "b": jnp.ones(num, bool), "c": has_c}
        loss_of(None, key, z, present, score=spy)
        return seen[0]

    shown, times = jax.device_get(ask(jax.random.key(0)))
    has_c = np.asarray(has_c)
    given = {m: t == 0 for m, t in times.items()}
    for m in "abc":
        assert (shown[m][given[m]] == 30).all()
    assert (times["c"][~has_c] == 1).all() and (times["c"][has_c] < 1).all()
    assert abs(shown["c"][~has_c].mean()) < 5 / (num / 2) ** 0.5
    assert abs(shown["c"][~has_c].std() - 1) < 5 / num**0.5
    # Diffused views of a row share their time; sizes 0 … |O| − 1 are as frequent.
    both = ~given["a"] & ~given["b"]
    np.testing.assert_array_equal(times["a"][both], times["b"][both])
    size = sum(given[m].astype(int) for m in "abc")
    for rows, sizes in ((has_c, 3), (~has_c, 2)):
        share = np.bincount(size[rows], minlength=4) / rows.sum()
        np.testing.assert_allclose(share[:sizes], 1 / sizes, atol=0.06)  # 5 s.e.
        assert share[sizes:].sum() == 0


def test_views_that_a_row_lacks_change_nothing():
    z = draws(0, 6)
    present = {"a": jnp.arange(6) != 1, "b": jnp.arange(6) > 1}  # row 1 has none
    broken = {m: jnp.where(present[m][:, None], z[m], jnp.nan) for m in z}

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def ask(factor, z):
        blind = lambda params, z, t: {m: params * z[m] for m in z}  # noqa: E731
        found = loss_of(factor, jax.random.key(0), z, present, score=blind)
        return found.sum(), found

    found, again = ask(0.7, z), ask(0.7, broken)
    jax.tree.map(np.testing.assert_array_equal, found, again)
    (_, each), slope = found
    assert each[1] == 0 and np.isfinite(slope) and abs(slope) > 0.1


def test_names_have_to_agree():
    with pytest.raises(ValueError, match=r"`present` names \['a'\], expected \['a'"):
        loss_of(1.0, jax.random.key(0), draws(0, 2), {"a": jnp.ones(2, bool)})
