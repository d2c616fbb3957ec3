"""Covariates: what rows come with that is no view, such as batch, site or age.

Encoders and decoders read them as columns f32[N, K] beside the views, so that z need
not tell them, and rows can be decoded as if they were of another batch:

==========================  ==========================================================
text, bool, and integers    a category: a column of 0 and 1 for each
of few distinct values
other integers, floats      a number: one column, (x − mean) / standard deviation of the
                            training rows
==========================  ==========================================================

Few are ``MOST_CATEGORIES``. Every row has all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jnf_jax.options import among

MOST_CATEGORIES = 20
"""Distinct integers up to which they are categories; pass floats for numbers."""


class Covariate(NamedTuple):
    """One of them and how it is read.

    Attributes:
        name: As the user calls it.
        categories: Sorted; () of a number.
        mean: Of a number in the training rows, likewise ``scale``.
    """

    name: str
    categories: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def width(self) -> int:
        """How many columns it has."""
        return len(self.categories) or 1


def find(
    given: Mapping[str, Any], num_rows: int, train: np.ndarray, argument: str
) -> tuple[Covariate, ...]:
    """How covariates {name: [N]} are to be read, by name; ``train`` are rows i[n].

    Raises:
        ValueError: names that are no text; values that are neither text nor numbers, or
            not one of every row; text that is another in more than half of the rows.
    """
    found = []
    for name in given:
        if not isinstance(name, str) or not name or "," in name:
            raise ValueError(
                f"`{argument}` has the name {name!r}, expected text without commas"
            )
    for name, x in sorted(given.items()):
        x = _values(x, num_rows, f"{argument}.{name}")
        distinct = np.unique(x)
        is_integer = x.dtype.kind in "iu" and len(distinct) <= MOST_CATEGORIES
        if x.dtype.kind in "Ub" or is_integer:
            if len(distinct) > max(num_rows / 2, 1):
                raise ValueError(
                    f"`{argument}.{name}` has {len(distinct)} categories in {num_rows} "
                    "rows, expected few, or numbers"
                )
            found.append(Covariate(name, tuple(map(str, distinct))))
        else:
            of_train = x[train].astype(np.float64)
            mean, scale = float(of_train.mean()), float(of_train.std())
            is_constant = scale <= 1e-6 * abs(mean)
            found.append(Covariate(name, (), mean, 1.0 if is_constant else scale))
    return tuple(found)


def columns(
    covariates: Sequence[Covariate],
    given: Mapping[str, Any],
    num_rows: int,
    argument: str,
) -> np.ndarray:
    """f32[N, K] of {name: one value a row, or one for all}, of all ``covariates``.

    Raises:
        ValueError: one that is missing or unknown; a category that no row of the
            training data had; values that are not one of every row, or no numbers.
    """
    known = [covariate.name for covariate in covariates]
    if sorted(given) != sorted(known):
        raise ValueError(f"`{argument}` has {sorted(given)}, expected all of {known}")
    parts = []
    for name, categories, mean, scale in covariates:
        where = f"{argument}.{name}"
        x = _values(given[name], num_rows, where)
        if not categories:
            if x.dtype.kind not in "iuf":
                raise ValueError(f"`{where}` has dtype {x.dtype}, expected numbers")
            parts.append(((x - mean) / scale)[:, None])
            continue
        is_one = x.astype(str)[:, None] == np.array(categories)
        if not (has_one := is_one.any(axis=1)).all():
            row = int(np.argmin(has_one))
            got = str(x[row])
            raise ValueError(
                f"`{where}` is {got!r} in row {row}, expected {among(got, categories)}"
            )
        parts.append(is_one)
    return np.concatenate(parts, axis=1).astype(np.float32)


def _values(x: Any, num_rows: int, argument: str) -> np.ndarray:
    """Text, bool or finite numbers [N], of one value for all or of each row."""
    masked = np.ma.getmaskarray(x).ravel() if np.ma.is_masked(x) else None
    x = np.asarray(x)
    if x.dtype == object and all(isinstance(value, str) for value in x.flat):
        x = x.astype(str)
    if x.dtype.kind not in "Ubiuf":
        raise ValueError(f"`{argument}` has dtype {x.dtype}, expected text or numbers")
    if x.shape not in ((), (num_rows,), (num_rows, 1)):
        raise ValueError(
            f"`{argument}` has shape {x.shape}, expected one value for each of the "
            f"{num_rows} rows"
        )
    x = np.broadcast_to(x.reshape(-1), num_rows)
    is_bad = x == "" if x.dtype.kind == "U" else ~np.isfinite(x)
    is_bad = is_bad if masked is None else is_bad | masked
    if is_bad.any():
        row = int(np.argmax(is_bad))
        raise ValueError(
            f"`{argument}` is missing or not finite in row {row}, expected it of "
            "every row"
        )
    return x


def to_json(covariates: Sequence[Covariate]) -> list[dict[str, Any]]:
    """Covariates as JSON has them; ``of_json`` reads it."""
    return [
        {"name": of.name, "categories": list(of.categories)}
        if of.categories
        else {"name": of.name, "mean": of.mean, "scale": of.scale}
        for of in covariates
    ]


def of_json(told: Sequence[Mapping[str, Any]]) -> tuple[Covariate, ...]:
    """What ``to_json`` wrote."""
    return tuple(
        Covariate(**{**of, "categories": tuple(of.get("categories", ()))})
        for of in told
    )
