"""Decoder outputs as distributions: what p(x_m | z) is.

Every distribution has the whole event of one datum as its event, so ``log_prob`` is
f32[B], in nats, summed over pixels or tokens.
"""

from collections.abc import Callable

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class _Independent(distrax.Independent):
    """Entries that are independent given z."""

    def log_prob_known(self, value: jax.Array) -> jax.Array:
        """log p of the entries of ``value`` that are not NaN, summed."""
        own = self.distribution
        known = ~jnp.isnan(value)
        # A number that all likelihoods here give some mass, so that gradients of what
        # is masked are zero and not NaN.
        filled = jnp.where(known, value, 0.0)
        if len(own.event_shape):  # a token, of which no entry is known by itself
            known = known.all(axis=-1)
            filled = jnp.where(known[..., None], value, 0.0)
        return self._reduce(jnp.sum, jnp.where(known, own.log_prob(filled), 0.0))


class OfKnownEntries(distrax.Distribution):
    """A distribution of x whose log p is that of the entries which are not NaN.

    ::

        Σ_i 1[x_i is known] log p(x_i|z)

    It is exact, as the entries are independent given z. Its mean and its draws have
    all entries.
    """

    def __init__(self, whole: distrax.Distribution):
        super().__init__()
        self._whole = whole

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self._whole.event_shape

    def log_prob(self, value: jax.Array) -> jax.Array:
        return self._whole.log_prob_known(value)

    def mean(self) -> jax.Array:
        return self._whole.mean()

    def _sample_n(self, key: jax.Array, n: int) -> jax.Array:
        return self._whole.sample(seed=key, sample_shape=n)


def _independent(distribution: distrax.Distribution) -> distrax.Distribution:
    """All dimensions but the first one belong to the event."""
    return _Independent(
        distribution, reinterpreted_batch_ndims=len(distribution.batch_shape) - 1
    )


Scale = float | Float[Array, " channels"]
"""One number, or one for each entry of the last axis."""


def normal(output: Float[Array, "batch ..."], scale: Scale) -> distrax.Distribution:
    """−½((x − x̂)/s)² − log s − ½ log 2π, summed; x̂ = ``output``."""
    return _independent(distrax.Normal(output, jnp.broadcast_to(scale, output.shape)))


def laplace(output: Float[Array, "batch ..."], scale: Scale) -> distrax.Distribution:
    """−|x − x̂|/b − log 2b, summed; x̂ = ``output``."""
    return _independent(distrax.Laplace(output, jnp.broadcast_to(scale, output.shape)))


def bernoulli(output: Float[Array, "batch ..."], scale: Scale) -> distrax.Distribution:
    """x log π + (1 − x) log(1 − π), summed; ``output`` holds logits, no scale."""
    del scale
    return _independent(distrax.Bernoulli(logits=output, dtype=output.dtype))


class _Tokens(distrax.OneHotCategorical):
    """One-hot tokens; their mean are the probabilities."""

    def mean(self) -> jax.Array:
        return self.probs


def categorical(
    output: Float[Array, "batch tokens classes"], scale: Scale
) -> distrax.Distribution:
    """Σ_t Σ_c x_tc log softmax(``output``)_tc; no scale.

    x is one-hot, and a row of zeros is padding: it adds nothing. As long as a text ends
    with a token of its own that comes before the padding, this is normalised over texts
    that end.
    """
    del scale
    return _independent(_Tokens(logits=output, dtype=output.dtype))


class _Pen(distrax.Distribution):
    """Points of a pen f32[B, T, 3]: normal x and y, and whether it is lifted then."""

    def __init__(self, output: jax.Array, scale: float):
        super().__init__()
        self._position = normal(output[..., :2], scale)
        self._lifted = bernoulli(output[..., 2], scale)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (*self._lifted.event_shape, 3)

    def log_prob(self, value: jax.Array) -> jax.Array:
        position = self._position.log_prob(value[..., :2])
        return position + self._lifted.log_prob(value[..., 2])

    def log_prob_known(self, value: jax.Array) -> jax.Array:
        position = self._position.log_prob_known(value[..., :2])
        return position + self._lifted.log_prob_known(value[..., 2])

    def mean(self) -> jax.Array:
        return self._join(self._position.mean(), self._lifted.mean())

    def _sample_n(self, key: jax.Array, n: int) -> jax.Array:
        keys = jax.random.split(key)
        position = self._position.sample(seed=keys[0], sample_shape=n)
        return self._join(position, self._lifted.sample(seed=keys[1], sample_shape=n))

    @staticmethod
    def _join(position: jax.Array, lifted: jax.Array) -> jax.Array:
        return jnp.concatenate([position, lifted[..., None]], axis=-1)


def pen(output: Float[Array, "batch points 3"], scale: float) -> distrax.Distribution:
    """A trajectory (x, y, l) has normal positions, and Bernoulli l, "lifted after".

    ::

        Σ_t log N((x, y)_t; ``output``_t,1:2, scale²) + log B(l_t; σ(``output``_t,3))
    """
    return _Pen(output, scale)


LIKELIHOODS: dict[str, Callable[[jax.Array, Scale], distrax.Distribution]] = {
    "bernoulli": bernoulli,
    "categorical": categorical,
    "laplace": laplace,
    "normal": normal,
    "pen": pen,
}
"""Name in a config -> ``(output, scale) -> distribution``."""

TAKES_LOGITS = ("bernoulli", "categorical", "pen")
"""Likelihoods whose ``output`` is not bounded."""

LEARN_SCALE = ("laplace", "normal")
"""Likelihoods whose scale may be an array."""
