"""Truths in closed form that tests compare with; NumPy in float64, nothing of jnf_jax.

The linear-Gaussian model: z ~ N(0, I), x_m = A_m z + b_m + s_m xi. Everything about it
is Gaussian and known: log p(x) of any views, p(z|x_S) of any subset, which is also what
a product of experts must give.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class LinearGaussian:
    """x_m = A_m z + b_m + s_m xi with z ~ N(0, I).

    Attributes:
        weights: modality -> A_m [P_m, D].
        offsets: modality -> b_m [P_m].
        noises: modality -> s_m > 0.
    """

    weights: dict[str, np.ndarray]
    offsets: dict[str, np.ndarray]
    noises: dict[str, float]

    @property
    def latent_size(self) -> int:
        return next(iter(self.weights.values())).shape[1]

    def sample(self, seed: int, num: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """z [num, D] and its views {m: [num, P_m]}."""
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((num, self.latent_size))
        views = {
            m: z @ self.weights[m].T
            + self.offsets[m]
            + self.noises[m] * rng.standard_normal((num, len(self.offsets[m])))
            for m in sorted(self.weights)
        }
        return z, views

    def log_likelihood(
        self, z: np.ndarray, views: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """log p(x_m|z) {m: [B]}, nats, summed over the P_m values."""
        return {
            m: _log_normal(
                x - z @ self.weights[m].T - self.offsets[m],
                self.noises[m] ** 2 * np.eye(x.shape[-1]),
            )
            for m, x in views.items()
        }

    def log_marginal(self, views: Mapping[str, np.ndarray]) -> np.ndarray:
        """log p(x_S) [B] of the given views, by the dense joint Gaussian."""
        names = sorted(views)
        a = np.concatenate([self.weights[m] for m in names])
        noise = np.concatenate(
            [np.full(len(self.offsets[m]), self.noises[m] ** 2) for m in names]
        )
        residual = np.concatenate([views[m] - self.offsets[m] for m in names], axis=-1)
        return _log_normal(residual, a @ a.T + np.diag(noise))

    def precision(self, subset: Iterable[str]) -> np.ndarray:
        """Precision [D, D] of p(z|x_S): I + sum_j A_j^T A_j / s_j^2, whatever x."""
        total = np.eye(self.latent_size)
        for m in subset:
            total += self.weights[m].T @ self.weights[m] / self.noises[m] ** 2
        return total

    def posterior(
        self, views: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean [B, D] and covariance [D, D] of p(z|x_S), S = the views given."""
        weighted = sum(
            (x - self.offsets[m]) @ self.weights[m] / self.noises[m] ** 2
            for m, x in views.items()
        )
        covariance = np.linalg.inv(self.precision(views))
        return weighted @ covariance, covariance


def linear_gaussian(
    sizes: Mapping[str, int], latent_size: int, *, seed: int = 0, diagonal: bool = False
) -> LinearGaussian:
    """A random, asymmetric model with modalities of the given sizes P_m.

    ``diagonal`` gives every A_m orthogonal columns of different lengths (P_m >= D), so
    that all posteriors have diagonal covariance and a diagonal Gaussian is exact.
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for m, size in sorted(sizes.items()):
        a = rng.standard_normal((size, latent_size))
        if diagonal:
            if size < latent_size:
                raise ValueError(f"sizes[{m!r}]: got {size}, expected >= {latent_size}")
            a = np.linalg.qr(a)[0] * rng.uniform(0.5, 2.0, latent_size)
        weights[m] = a
    return LinearGaussian(
        weights=weights,
        offsets={m: rng.standard_normal(size) for m, size in sorted(sizes.items())},
        noises={m: float(rng.uniform(0.6, 1.4)) for m in sorted(sizes)},
    )


def _log_normal(residual: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """log N(residual; 0, covariance), [..., P] -> [...]."""
    _, log_det = np.linalg.slogdet(covariance)
    solved = np.linalg.solve(covariance, residual[..., None])[..., 0]
    size = residual.shape[-1]
    return -0.5 * ((residual * solved).sum(-1) + log_det + size * np.log(2 * np.pi))


def random_like(shapes, seed: int, scale: float = 0.6):
    """Parameters of the given shapes with every leaf N(0, scale^2 / fan_in).

    An identity at initialisation hides sign errors, so test away from it. Takes arrays
    or what ``jax.eval_shape(module.init, ...)`` gives, which costs no compilation.
    """
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(seed)
    return tree.unflatten(
        jnp.asarray(
            scale * rng.standard_normal(leaf.shape) / np.sqrt(leaf.shape[0]), leaf.dtype
        )
        for leaf in leaves
    )
