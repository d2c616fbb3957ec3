"""Fréchet distance between what was generated and what is real, in features.

::

    d² = ‖μ_r − μ_g‖² + tr(Σ_r + Σ_g − 2 (Σ_r Σ_g)^{1/2})

of the Gaussians with the moments of the features (Dowson and Landau, 1982). On pool3 of
Inception-v3 it is the FID (Heusel et al., arXiv 1706.08500); on any other features it
has another name. Everything here is float64 on the host.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float


class Gaussian(NamedTuple):
    """Moments of ``count`` draws of D features; the covariance has divisor n − 1."""

    count: int
    mean: Float[np.ndarray, " features"]
    covariance: Float[np.ndarray, "features features"]


class Moments(NamedTuple):
    """Sums that batches add to: count, mean, and the sum of squares about the mean."""

    count: int
    mean: Float[np.ndarray, " features"]
    scatter: Float[np.ndarray, "features features"]


def add_batch(
    moments: Moments | None, features: Float[Array | np.ndarray, "batch features"]
) -> Moments:
    """Moments with one more batch f32[B, D], B ≥ 1; exact, and stable for a large mean.

    With n draws before and b in the batch, whose means differ by δ (Chan, Golub and
    LeVeque, 1979)::

        μ ← μ + δ b/(n + b);   S ← S + S_b + δδᵀ n b/(n + b)

    Raises:
        ValueError: No rows, another D than before, or values that are not finite.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not len(features):
        raise ValueError(
            f"`features` has shape {features.shape}, expected [batch, features]"
        )
    if not np.isfinite(features).all():
        raise ValueError("`features` has values that are NaN or infinite")
    batch, mean = len(features), features.mean(0)
    centred = features - mean
    scatter = centred.T @ centred
    if moments is None:
        return Moments(batch, mean, scatter)
    if moments.mean.shape != mean.shape:
        raise ValueError(
            f"`features` has {len(mean)} columns, expected {len(moments.mean)} as in "
            "the batches before"
        )
    total, apart = moments.count + batch, mean - moments.mean
    between = np.outer(apart, apart) * (moments.count * batch / total)
    return Moments(
        total,
        moments.mean + apart * (batch / total),
        moments.scatter + scatter + between,
    )


def gaussian(moments: Moments) -> Gaussian:
    """The Gaussian that the moments describe.

    Raises:
        ValueError: As many draws as features or fewer. The covariance of n draws has
            rank n − 1 at most: the distance would say more of n than of the draws.
    """
    count, size = moments.count, len(moments.mean)
    if count <= size:
        raise ValueError(
            f"`moments` are of {count} draws of {size} features, expected more draws "
            "than features: else the covariance is singular and the distance mostly "
            "bias"
        )
    return Gaussian(count, moments.mean, moments.scatter / (count - 1))


def gaussian_of(
    batches: Iterable[Float[Array | np.ndarray, "_ features"]],
) -> Gaussian:
    """`gaussian` of the moments of all batches; the last one may be smaller.

    >>> gaussian_of([np.array([[1.0], [3.0]]), np.array([[8.0]])]).covariance
    array([[13.]])
    """
    moments = None
    for features in batches:
        moments = add_batch(moments, features)
    if moments is None:
        raise ValueError("`batches` is empty, expected features of at least one batch")
    return gaussian(moments)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """Squared Fréchet (2-Wasserstein) distance of two Gaussians, in squared units; ≥ 0.

    With Σ = L Lᵀ, L = Q Λ^{1/2} of the eigendecomposition::

        tr (Σ_1 Σ_2)^{1/2} = ‖L_1ᵀ L_2‖_*      (sum of singular values)

    which, unlike the square root of a product, stays real and keeps its digits where
    covariances are nearly singular.

    Raises:
        ValueError: Other shapes, values that are not finite, or a covariance that is
            not symmetric or has a negative eigenvalue beyond rounding.

    >>> line = lambda mean, sd: Gaussian(9, np.array([mean]), np.array([[sd**2]]))
    >>> frechet_distance(line(0.0, 1.0), line(3.0, 5.0))
    25.0
    """
    if one.mean.shape != other.mean.shape:
        raise ValueError(
            f"`other` has {len(other.mean)} features, expected {len(one.mean)} as in "
            "`one`"
        )
    roots = [_root("one", one), _root("other", other)]
    overlap = np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum()
    traces = np.trace(one.covariance) + np.trace(other.covariance)
    distance = np.square(one.mean - other.mean).sum() + traces - 2 * overlap
    return max(float(distance), 0.0)


def _root(name: str, gaussian: Gaussian) -> np.ndarray:
    """L with L Lᵀ = Σ."""
    covariance = gaussian.covariance
    size = len(gaussian.mean)
    if covariance.shape != (size, size):
        raise ValueError(
            f"`{name}.covariance` has shape {covariance.shape}, expected {(size, size)}"
        )
    if not (np.isfinite(covariance).all() and np.isfinite(gaussian.mean).all()):
        raise ValueError(f"`{name}` has values that are NaN or infinite")
    scale = np.abs(covariance).max()
    if np.abs(covariance - covariance.T).max() > 1e-6 * scale:
        raise ValueError(f"`{name}.covariance` is not symmetric")
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -1e-6 * scale:
        raise ValueError(
            f"`{name}.covariance` has the eigenvalue {values[0]:g}, expected none < 0"
        )
    return vectors * np.sqrt(values.clip(0))


def average_conditional(
    distances: Mapping[tuple[str, ...], Mapping[str, float]],
) -> dict[str, float]:
    """{size: mean over measured targets t ∉ S, then over S} from {S: {t: distance}}.

    Targets that are no pictures have no distance, and subsets without a target drop
    out; where all are pictures, it is `coherence.average_by_size`.

    >>> average_conditional({("a",): {"b": 2.0, "c": 4.0}, ("b",): {"c": 5.0}})
    {'1': 4.0}
    """
    means: dict[int, list[float]] = {}
    for subset, targets in distances.items():
        if targets:
            mean = float(np.mean(list(targets.values())))
            means.setdefault(len(subset), []).append(mean)
    return {str(size): float(np.mean(means[size])) for size in sorted(means)}
