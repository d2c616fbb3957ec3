"""Draws of a prediction against what came: ranks, coverage of intervals, CRPS.

::

    rank      r = #{x_k < y} + U{0, …, #{x_k = y}},  uniform on 0, …, K where y is one
              more draw of the same law, whatever law it is
    coverage  of the central interval of level c: P(tail ≤ r ≤ K − tail),
              tail = (1 − c) (K + 1) / 2; exactly c then, for any K with a whole tail
    CRPS      E|X − y| − ½ E|X − X'|, X and X' independent; estimated without bias by
              (1/K) Σ_k |x_k − y| − 1/(2 K (K − 1)) Σ_{k,l} |x_k − x_l|

The last is the fair CRPS of an ensemble (Ferro, doi 10.1002/qj.2270): its mean does not
depend on K, so that it scores the law and not the number of its draws. It is in the
units of y, less is better, and the law of y itself has the least.
"""

import numpy as np
from jaxtyping import Bool, Float, Int


def ranks(
    draws: Float[np.ndarray, "draws ..."],
    truth: Float[np.ndarray, "..."],
    rng: np.random.Generator,
) -> Int[np.ndarray, "..."]:
    """Rank of each truth among its K draws, 0, …, K; ties are broken at random.

    >>> draws = np.arange(4.0)[:, None]
    >>> ranks(draws, np.array([1.5]), np.random.default_rng(0))
    array([2])
    """
    below = (draws < truth).sum(axis=0)
    return below + rng.integers(0, (draws == truth).sum(axis=0) + 1)


def is_covered(
    found: Int[np.ndarray, "..."], num_draws: int, percent: int
) -> Bool[np.ndarray, "..."]:
    """Whether truths of these ranks lie in the central interval of that level.

    Raises:
        ValueError: No interval between draws has exactly this level.

    >>> is_covered(np.arange(40), 39, 95).mean()
    np.float64(0.95)
    """
    tail, rest = divmod((100 - percent) * (num_draws + 1), 200)
    if rest:
        raise ValueError(
            f"`num_draws` is {num_draws}, expected one whose successor times "
            f"{100 - percent} is a multiple of 200"
        )
    return (found >= tail) & (found <= num_draws - tail)


def half_mean_difference(
    draws: Float[np.ndarray, "draws ..."],
) -> Float[np.ndarray, "..."]:
    """½ E|X − X'|, without bias, of two or more draws: the CRPS that data have by
    themselves, where each is predicted by the law of all.

    >>> float(half_mean_difference(np.array([0.0, 1.0, 5.0]))) * 3
    5.0
    """
    num = len(draws)
    weights = 2.0 * np.arange(1, num + 1) - num - 1
    ordered = np.sort(draws, axis=0).astype(np.float64)
    # NumPy makes a plain number of an array without axes.
    return np.asarray(np.tensordot(weights, ordered, axes=1) / (num * (num - 1)))


def fair_crps(
    draws: Float[np.ndarray, "draws ..."], truth: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """The unbiased estimate of the CRPS above, of two or more draws.

    >>> float(fair_crps(np.array([0.0, 2.0]), np.array(1.0)))
    0.0
    """
    distance = np.abs(draws - truth).mean(axis=0, dtype=np.float64)
    return np.asarray(distance - half_mean_difference(draws))
