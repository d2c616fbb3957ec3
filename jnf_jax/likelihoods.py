"""Decoder outputs as distributions: what p(x_m | z) is.

Every distribution has the whole event of one datum as its event, so ``log_prob`` is
f32[B], in nats, summed over pixels or tokens.

A scale may be learnt, one for each entry of the last axis; the larger, the wider::

    normal, student_t     s, the unit of (x − x̂)/s
    laplace               b
    negative_binomial     α in Var x = μ + α μ²; 1/α is the inverse dispersion θ
    von_mises             s = κ^(−½), about the standard deviation in radians
    ordinal               widths of the inner classes, K − 2 for each entry
"""

from collections.abc import Callable

import distrax
import jax
import jax.numpy as jnp
from jax.scipy import special, stats
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


Scale = float | Float[Array, " channels"] | Float[Array, "channels inner"]
"""One number, or one for each entry of the last axis; of ordinals one for each of its
inner classes."""


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
    output: Float[Array, "batch *tokens classes"], scale: Scale
) -> distrax.Distribution:
    """Σ_t Σ_c x_tc log softmax(``output``)_tc; no scale.

    x is one-hot, and a row of zeros is padding: it adds nothing. As long as a text ends
    with a token of its own that comes before the padding, this is normalised over texts
    that end.
    """
    del scale
    return _independent(_Tokens(logits=output, dtype=output.dtype))


class _Entry(distrax.Distribution):
    """A distribution of each number in arrays of the shape of ``location``."""

    def __init__(self, location: jax.Array, scale: jax.Array):
        super().__init__()
        self._location = location
        self._scale = scale

    @property
    def event_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self._location.shape

    def mean(self) -> jax.Array:
        return self._location


class _StudentT(_Entry):
    def __init__(self, location: jax.Array, scale: jax.Array, num_degrees: float):
        super().__init__(location, scale)
        self._num_degrees = num_degrees

    def log_prob(self, value: jax.Array) -> jax.Array:
        return stats.t.logpdf(value, self._num_degrees, self._location, self._scale)

    def _sample_n(self, key: jax.Array, n: int) -> jax.Array:
        noise = jax.random.t(key, self._num_degrees, (n, *self._location.shape))
        return self._location + self._scale * noise


def student_t(
    output: Float[Array, "batch ..."], scale: Scale, degrees_of_freedom: float = 4.0
) -> distrax.Distribution:
    """Student's t around x̂ = ``output``, for data with outliers, summed.

    ::

        log Γ((ν+1)/2) − log Γ(ν/2) − ½ log πν − log s − (ν+1)/2 log(1 + ((x − x̂)/s)²/ν)

    ν is ``degrees_of_freedom``. The mean that is shown is x̂, which is the median too.
    """
    scale = jnp.broadcast_to(scale, output.shape)
    return _independent(_StudentT(output, scale, degrees_of_freedom))


class _VonMises(_Entry):
    """``scale`` is κ^(−½)."""

    def log_prob(self, value: jax.Array) -> jax.Array:
        concentration = self._scale**-2.0
        normaliser = jnp.log(2 * jnp.pi) + jnp.log(special.i0e(concentration))
        return concentration * (jnp.cos(value - self._location) - 1) - normaliser

    def mean(self) -> jax.Array:
        return _wrapped(self._location)

    def _sample_n(self, key: jax.Array, n: int) -> jax.Array:
        """Best and Fisher (1979): wrapped Cauchy proposals, of which every one is taken
        with probability 0.65 or more; the first of 32 that is."""
        keys, shape = jax.random.split(key, 4), (n, *self._location.shape)
        concentration = self._scale**-2.0
        tau = 1 + jnp.sqrt(1 + 4 * concentration**2)
        rho = (tau - jnp.sqrt(2 * tau)) / (2 * concentration)
        # Where rho would round to nothing any r is right, this one nearly optimal.
        safe_rho = jnp.where(concentration < 0.1, 0.5, rho)
        r = jnp.where(
            concentration < 0.1,
            1 / concentration + concentration,
            (1 + safe_rho**2) / (2 * safe_rho),
        )
        c = jnp.cos(jnp.pi * jax.random.uniform(keys[0], (32, *shape)))
        cosine = jnp.clip((1 + r * c) / (r + c), -1, 1)
        ratio = concentration * (r - cosine)
        log_uniform = jnp.log(jax.random.uniform(keys[1], (32, *shape), minval=1e-30))
        taken = jnp.log(ratio) + 1 - ratio >= log_uniform
        first = jnp.argmax(taken, axis=0)[None]
        angle = jnp.arccos(jnp.take_along_axis(cosine, first, axis=0)[0])
        angle *= jax.random.rademacher(keys[2], shape)
        # Float32 does not hold the cosines of such small angles; a normal is as good.
        normal = self._scale * jax.random.normal(keys[3], shape)
        angle = jnp.where(self._scale < 0.03, normal, angle)
        return _wrapped(self._location + angle)


def _wrapped(angle: jax.Array) -> jax.Array:
    """The same direction, radians from −π to π."""
    return jnp.arctan2(jnp.sin(angle), jnp.cos(angle))


def von_mises(output: Float[Array, "batch ..."], scale: Scale) -> distrax.Distribution:
    """κ cos(x − x̂) − log 2π I₀(κ), summed, κ = scale⁻², for angles x in radians.

    Any number is a direction x̂ = ``output``. What is shown as the mean is x̂, from −π to
    π. Densities are per radian.
    """
    return _independent(_VonMises(output, jnp.broadcast_to(scale, output.shape)))


class _Ordinal(_Entry):
    """``scale`` holds the widths of the inner classes, [*location, K − 2]."""

    @property
    def _cuts(self) -> jax.Array:
        """[*location, K − 1], rising, around zero."""
        first = jnp.zeros((*self._location.shape, 1))
        cuts = jnp.concatenate([first, jnp.cumsum(self._scale, axis=-1)], axis=-1)
        return cuts - cuts[..., -1:] / 2

    def log_prob(self, value: jax.Array) -> jax.Array:
        cuts = self._cuts
        last = cuts.shape[-1]
        k = jnp.clip(jnp.nan_to_num(value), 0, last).astype(int)

        def cut(number: jax.Array) -> jax.Array:
            number = jnp.clip(number, 0, last - 1)[..., None]
            shape = jnp.broadcast_shapes(number.shape[:-1], cuts.shape[:-1])
            all_cuts = jnp.broadcast_to(cuts, (*shape, last))
            number = jnp.broadcast_to(number, (*shape, 1))
            return jnp.take_along_axis(all_cuts, number, axis=-1)[..., 0]

        upper, lower = cut(k) - self._location, cut(k - 1) - self._location
        # σ(u) − σ(l) = σ(u) σ(−l) (1 − exp(l − u)), each factor where there is a cut.
        is_inner = (k > 0) & (k < last)
        width = jnp.where(is_inner, upper - lower, 1.0)
        found = jnp.where(k < last, jax.nn.log_sigmoid(upper), 0.0)
        found += jnp.where(k > 0, jax.nn.log_sigmoid(-lower), 0.0)
        found += jnp.where(is_inner, jnp.log(-jnp.expm1(-width)), 0.0)
        return jnp.where(value == k, found, -jnp.inf)

    def mean(self) -> jax.Array:
        return jax.nn.sigmoid(self._location[..., None] - self._cuts).sum(axis=-1)

    def _sample_n(self, key: jax.Array, n: int) -> jax.Array:
        noise = jax.random.logistic(key, (n, *self._location.shape))
        above = (self._location + noise)[..., None] > self._cuts
        return above.sum(axis=-1).astype(self._location.dtype)


def ordinal(
    output: Float[Array, "batch ..."], scale: Scale, num_classes: int
) -> distrax.Distribution:
    """Cumulative logits for classes x = 0, …, K − 1 that have an order, summed.

    ::

        P(x <= k) = σ(c_{k+1} − x̂),   c_{j+1} = c_j + w_j,   x̂ = ``output``

    The widths w_1, …, w_{K−2} > 0 are ``scale``, so that cut points are ordered
    whatever is learnt; the first and the last are as far from zero. K is
    ``num_classes``. The mean is that of the class numbers, between them.
    """
    widths = jnp.asarray(scale)
    shape = (*output.shape, num_classes - 2)
    return _independent(_Ordinal(output, jnp.broadcast_to(widths, shape)))


class _Counts(distrax.Distribution):
    """Poisson, or with a dispersion negative binomial; see ``negative_binomial``."""

    def __init__(
        self,
        log_mean: jax.Array,
        dispersion: jax.Array | None,
        median_total: float,
    ):
        super().__init__()
        self._log_mean = log_mean
        self._dispersion = dispersion
        self._median_total = median_total
        self._axes = tuple(range(1 - log_mean.ndim, 0))  # those of the event

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self._log_mean.shape[self._log_mean.ndim - len(self._axes) :]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self._log_mean.shape[: self._log_mean.ndim - len(self._axes)]

    def log_prob(self, value: jax.Array) -> jax.Array:
        return self.log_prob_known(value)

    def log_prob_known(self, value: jax.Array) -> jax.Array:
        known = ~jnp.isnan(value)
        x = jnp.where(known, value, 0.0)
        log_mean = self._log_mean + self._log_size(x, known)
        if self._dispersion is None:
            each = x * log_mean - jnp.exp(log_mean)
        else:
            inverse = 1 / self._dispersion
            log_sum = jnp.logaddexp(jnp.log(inverse), log_mean)
            each = special.gammaln(x + inverse) - special.gammaln(inverse)
            each += inverse * (jnp.log(inverse) - log_sum) + x * (log_mean - log_sum)
        each -= special.gammaln(x + 1)
        return jnp.sum(jnp.where(known, each, 0.0), axis=self._axes)

    def _log_size(self, x: jax.Array, known: jax.Array) -> jax.Array | float:
        """log size factor of each row, from its known entries; broadcastable to x."""
        if not self._median_total:
            return 0.0
        mean = jax.lax.stop_gradient(jnp.exp(self._log_mean))
        there = jnp.sum(jnp.where(known, mean, 0.0), self._axes, keepdims=True)
        share = there / jnp.sum(mean, self._axes, keepdims=True)
        total = jnp.maximum(jnp.sum(x, self._axes, keepdims=True), 1.0)
        return jnp.log(total) - jnp.log(self._median_total * jnp.maximum(share, 1e-6))

    def mean(self) -> jax.Array:
        return jnp.exp(self._log_mean)

    def _sample_n(self, key: jax.Array, n: int) -> jax.Array:
        rate_key, key = jax.random.split(key)
        rate, shape = jnp.exp(self._log_mean), (n, *self._log_mean.shape)
        if self._dispersion is not None:
            inverse = 1 / self._dispersion
            rate = rate * jax.random.gamma(rate_key, inverse, shape) / inverse
        return jax.random.poisson(key, rate, shape).astype(self._log_mean.dtype)


def poisson(
    output: Float[Array, "batch ..."], scale: Scale, median_total: float = 0.0
) -> distrax.Distribution:
    """x log μ − μ − log x!, summed; μ = exp(``output``) times the row's size, no scale.

    Sizes are as ``negative_binomial`` has them.
    """
    del scale
    return _Counts(output, None, median_total)


def negative_binomial(
    output: Float[Array, "batch ..."], scale: Scale, median_total: float = 0.0
) -> distrax.Distribution:
    """Counts with more spread than a Poisson's, by mean and inverse dispersion, summed.

    ::

        log Γ(x+θ) − log Γ(θ) − log x! + θ log θ/(θ+ℓμ) + x log ℓμ/(θ+ℓμ)

    with μ = exp(``output``) and θ = 1/``scale``. The size ℓ of a row is 1, or with a
    ``median_total`` T > 0 observed: the row's total over T, as the library size of
    scvi-tools; log p is then that of x given ℓ. Of a row that lacks entries the total
    is over the others, and T times their share of μ. Mean and draws are those of a row
    of the size 1, as that of a row which is generated is not known.
    """
    dispersion = jnp.broadcast_to(scale, output.shape)
    return _Counts(output, dispersion, median_total)


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


LIKELIHOODS: dict[str, Callable[..., distrax.Distribution]] = {
    "bernoulli": bernoulli,
    "categorical": categorical,
    "laplace": laplace,
    "negative_binomial": negative_binomial,
    "normal": normal,
    "ordinal": ordinal,
    "pen": pen,
    "poisson": poisson,
    "student_t": student_t,
    "von_mises": von_mises,
}
"""Name in a config -> ``(output, scale, **options) -> distribution``."""

OPTIONS = {
    "negative_binomial": ("median_total",),
    "ordinal": ("num_classes",),
    "poisson": ("median_total",),
    "student_t": ("degrees_of_freedom",),
}
"""Options that a likelihood has beside its scale."""

OF_OWN_UNITS = ("negative_binomial", "ordinal", "poisson", "von_mises")
"""Likelihoods of values as they are, which nothing has scaled."""

TAKES_LOGITS = ("bernoulli", "categorical", "pen", *OF_OWN_UNITS)
"""Likelihoods whose ``output`` is not bounded."""

LEARN_SCALE = (
    *("laplace", "negative_binomial", "normal"),
    *("ordinal", "student_t", "von_mises"),
)
"""Likelihoods whose scale may be an array."""


def scale_shape(name: str, num_channels: int, num_classes: int = 0) -> tuple[int, ...]:
    """The shape of a scale that is learnt, for events whose last axis has that size."""
    if name == "ordinal":
        return (num_channels, num_classes - 2)
    return (num_channels,)
