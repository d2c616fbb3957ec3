"""Rows with holes: what is missing in each is drawn given what is there.

``read`` finds the holes, ``Partial.patterns`` groups rows that have the same views, and
``complete`` puts the draws of all groups together and says how far they spread. Drawing
itself is ``new_rows``': draw k of row i depends on (seed, k, i) and on what row i has,
whatever rows are beside it and however they are grouped.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jnf_jax.data import own
from jnf_jax.data.dataset import Dataset
from jnf_jax.experiments.new_rows import Chains
from jnf_jax.names import COVARIATES

QUANTILES = (0.05, 0.5, 0.95)
"""Those that ``Imputed.quantiles`` has, in this order."""


class Partial(NamedTuple):
    """Rows that may lack views, and entries of views.

    Attributes:
        given: {m: [N, *shape]}, as the user has them, bytes of pictures as x / 255;
            anything in holes. Views that were left out are not in it.
        read: {m: f32[N, *shape]}, the same as a model reads them: NaN in holes of views
            that a row has in part. Under ``COVARIATES`` are those of the rows.
        missing: {m: bool[N, *shape]}, of all views that the model knows.
    """

    given: dict[str, np.ndarray]
    read: dict[str, np.ndarray]
    missing: dict[str, np.ndarray]

    @property
    def present(self) -> dict[str, np.ndarray]:
        """{m: bool[N]}, which rows have something of each view."""
        return {m: ~_all_of_row(x) for m, x in self.missing.items()}

    def take(
        self, given: tuple[str, ...], numbers: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The views ``given`` of these rows as a model reads them, and covariates."""
        beside = [COVARIATES] if COVARIATES in self.read else []
        return {m: self.read[m][numbers] for m in (*given, *beside)}

    def patterns(self) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
        """(views that rows have, sorted; numbers of these rows i[n]), each once."""
        names = sorted(self.missing)
        has = np.stack([self.present[m] for m in names], axis=1)
        kinds, which = np.unique(has, axis=0, return_inverse=True)
        for number, kind in enumerate(kinds):
            given = tuple(
                m for m, is_there in zip(names, kind, strict=True) if is_there
            )
            yield given, np.flatnonzero(which.ravel() == number)


class Imputed(NamedTuple):
    """Rows whose holes are filled in, and what is known of each filling.

    All but ``views`` are of the views with holes alone, in the user's units; where a
    value was seen, it stands in ``mean``, ``quantiles`` and ``draws`` as well.

    Attributes:
        views: {m: [N, *shape]}: as given where seen, else ``mean``.
        missing: {m: bool[N, *shape]}, where the holes were.
        mean: {m: f32[N, *shape]}, of the draws.
        sd: {m: f32[N, *shape]}, of the draws; 0 where seen.
        quantiles: {m: f32[3, N, *shape]} of the draws, at ``QUANTILES``.
        draws: {m: f32[K, N, *shape]}: the k-th of all views together is one possible
            completion of every row.
        chains: How draws from products of posteriors came about; None without any.
    """

    views: dict[str, np.ndarray]
    missing: dict[str, np.ndarray]
    mean: dict[str, np.ndarray]
    sd: dict[str, np.ndarray]
    quantiles: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]
    chains: Chains | None


class Latent(NamedTuple):
    """Where z of each row lies given what the row has, of K draws: f32[N, D] both."""

    mean: np.ndarray
    sd: np.ndarray


class Group(NamedTuple):
    """What was drawn for the rows ``numbers`` i[n]: values {m: f32[K, n, *shape]}."""

    numbers: np.ndarray
    values: dict[str, np.ndarray]
    chains: Chains | None


def read(dataset: Dataset, partial: Mapping[str, Any], argument: str) -> Partial:
    """Rows of some views, in the user's units, that may lack some of them.

    A row lacks a view where it is all NaN, or all masked in a NumPy masked array. Views
    that are left out are missing in all rows. Single entries may be missing where some
    were in training.

    Raises:
        ValueError: As ``own.to_model``; a row that has a part of another view.
    """
    if not isinstance(partial, Mapping) or not partial:
        own.as_arrays(partial, argument)  # which refuses it
    partial, covariates = own.take_covariates(dataset, partial, argument)
    filled, missing = {}, {}
    for m, x in partial.items():
        may_be_partial = m in dataset.partial
        filled[m], missing[m] = _holes(x, f"{argument}.{m}", may_be_partial)
    found = own.to_model(dataset, filled | covariates, argument)
    size = len(next(iter(found.values())))
    given = {m: np.reshape(filled[m], found[m].shape) for m in filled}
    is_bytes = {
        m for m in given if given[m].dtype == np.uint8 and m not in dataset.unbounded
    }
    given |= {m: found[m] for m in is_bytes}
    holes = {
        m: np.reshape(missing[m], (size, *shape))
        if m in missing
        else np.ones((size, *shape), bool)
        for m, shape in dataset.shapes.items()
    }
    return Partial(given, found, holes)


def complete(partial: Partial, groups: Sequence[Group], num_samples: int) -> Imputed:
    """Fills the holes of ``partial`` with what ``groups`` drew of them."""
    views, draws = dict(partial.given), {}
    holes = {m: x for m, x in partial.missing.items() if x.any()}
    for m, missing in holes.items():
        draws[m] = np.zeros((num_samples, *missing.shape), np.float32)
        if m in partial.given:
            draws[m][:] = np.where(missing, 0, partial.given[m])
        for group in groups:
            if m in group.values:
                own_holes = missing[group.numbers]
                seen = draws[m][:, group.numbers]
                filled = np.where(own_holes, group.values[m], seen)
                draws[m][:, group.numbers] = filled
    mean = {m: x.mean(axis=0, dtype=np.float64) for m, x in draws.items()}
    for m, missing in holes.items():
        seen = partial.given.get(m, mean[m].astype(np.float32))
        kind = np.result_type(seen.dtype, np.float32)
        views[m] = np.where(missing, mean[m], seen).astype(kind)
    return Imputed(
        {m: views[m] for m in sorted(views)},
        holes,
        {m: np.float32(x) for m, x in mean.items()},
        {
            m: x.std(axis=0, dtype=np.float64).astype(np.float32)
            for m, x in draws.items()
        },
        {
            m: np.quantile(x, QUANTILES, axis=0).astype(np.float32)
            for m, x in draws.items()
        },
        draws,
        _chains_of(groups, len(next(iter(partial.missing.values()))), num_samples),
    )


def _chains_of(groups: Sequence[Group], size: int, num_samples: int) -> Chains | None:
    """[K, N] of all rows; those that no chain ran for have acceptance 1, distance 0."""
    ran = [group for group in groups if group.chains is not None]
    if not ran:
        return None
    shape = (num_samples, size)
    joined = Chains(np.ones(shape), np.zeros(shape, int), np.zeros(shape))
    for group in ran:
        for whole, part in zip(joined, group.chains, strict=True):
            whole[:, group.numbers] = part
    return joined


def _holes(
    x: Any, argument: str, may_be_partial: bool
) -> tuple[np.ndarray, np.ndarray]:
    """An array as ``own.to_model`` takes it, and where its holes are.

    They are NaN, or zeros where a row has nothing; other faults stay in it.

    Raises:
        ValueError: Some, not all, values of a row are missing, of bytes or where
            ``may_be_partial`` is not set.
    """
    try:
        array = np.ma.asarray(x)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"`{argument}` is no array: {error}") from error
    values = np.array(own.with_nan(array, argument))
    missing = np.ma.getmaskarray(array).copy()
    if values.dtype.kind == "f":
        missing |= np.isnan(values)
    if values.ndim and values.size:
        whole = _all_of_row(missing)
        partly = missing.reshape(len(missing), -1).any(axis=1) & ~whole
        if partly.any() and not (may_be_partial and values.dtype.kind == "f"):
            raise ValueError(
                f"`{argument}`: row {int(np.argmax(partly))} lacks some of its values, "
                "expected all of them or none, as in training"
            )
        values[whole] = 0
    return values, missing


def _all_of_row(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).all(axis=1)
