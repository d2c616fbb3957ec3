"""What documents and terminals show of each measure: declared, not programmed.

A measure (``jnf_jax/evaluation/measures/registry.py``) writes an object under its name
into the record. Here stands which of its numbers are shown, and the range that they
must lie in.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Column(NamedTuple):
    """One number of a measure, or an object name -> number.

    Attributes:
      heading: with its unit.
      path: keys joined by dots, below the measure or, with ``Table.rows``, below the
        row. Absent or null shows as a dash.
      digits: behind the decimal point.
      low, high: the range; a number outside it is a fault of the record.
    """

    heading: str
    path: str
    digits: int = 3
    low: float = -math.inf
    high: float = math.inf


class Table(NamedTuple):
    """A table of one measure.

    Attributes:
      said: the sentence above it, that says what the numbers are.
      columns: what it shows.
      rows: path of an object whose every entry is a row; "": the measure is one row.
      heading: of these rows, e.g. "given" where they are sizes of subsets.
    """

    said: str
    columns: tuple[Column, ...]
    rows: str = ""
    heading: str = ""


SHOWN: dict[str, tuple[Table, ...]] = {
    "diffusion_decoder": (
        Table(
            "Pictures drawn by the diffusion decoder beside the decoder's means of the "
            "same z: coherence by the number of modalities given, jointly, and the "
            "ceiling; Fréchet distance in the classifiers' features (no FID) by the "
            "number of modalities given and by the prior:",
            tuple(
                Column(f"{said}, {by}", f"{path}.{by}", digits, 0.0, high)
                for path, said, digits, high in (
                    ("conditional", "coherence", 3, 1.0),
                    ("joint", "joint", 3, 1.0),
                    ("ceiling", "ceiling", 3, 1.0),
                    ("frechet", "Frechet distance", 2, math.inf),
                )
                for by in ("means", "draws")
            ),
        ),
    ),
    "frechet": (
        Table(
            "Fréchet distances between generated and real pictures, mean over target "
            "modalities, by the number of modalities given and by the prior; in "
            "features of the classifiers that judge coherence (no FID), and of "
            "Inception-v3 (FID). Of fewer pictures they are larger, so those by "
            "numbers of modalities and those by priors compare only among themselves:",
            (
                Column("pictures, given", "frechet_classifier.num_real", 0, low=1.0),
                Column("by prior", "frechet_classifier.num_unconditional", 0, low=1.0),
            )
            + tuple(
                Column(f"{features}, {kind}", f"{distance}.{kind}", 2, low=0.0)
                for distance, features in (
                    ("frechet_classifier", "classifier features"),
                    ("fid", "FID"),
                )
                for kind in ("conditional", "unconditional")
            ),
        ),
        Table(
            "The same in classifier features, of each target modality:",
            (
                Column("given", "conditional", 2, low=0.0),
                Column("by prior", "unconditional", 2, low=0.0),
            ),
            rows="frechet_classifier.targets",
            heading="target",
        ),
    ),
    "likelihood": (
        Table(
            "log p(X) of test tuples at λ = β = 1, by importance sampling with the "
            "joint posterior (a lower bound on average): of stage one, hence the same "
            "for all that stands on it. At an effective sample size near 1 a single "
            "weight is all there is of the sum, and the bound a loose one. The "
            "standard error is over tuples; log Z, where the prior is an energy, is "
            "subtracted already.",
            (
                Column("K, (b)'s too", "settings.num_importance_samples", 0, low=1.0),
                Column("K of (a)", "settings.num_conditional_samples", 0, low=1.0),
                Column("tuples", "settings.num_tuples", 0, low=1.0),
                Column("log p(X), nats", "joint.log_prob", 1),
                Column("standard error", "joint.standard_error", 1, low=0.0),
                Column("ESS, median", "joint.ess_median", 1, low=0.0),
                Column("log Z", "joint.log_normaliser.value", 2),
                Column("its error", "joint.log_normaliser.standard_error", 2, low=0.0),
            ),
        ),
        Table(
            "log p(x_t|x_S), nats, mean over the subsets of a size: (a) of draws from "
            "q(z|x_S), (b) of the generative model; each at its K above. s.e. are "
            "standard errors over tuples; ESS, medians of as many as there are draws. "
            "(b) divides by p(x_S): at an ESS of that below ten, do not believe it.",
            (
                Column("(a)", "a", 1),
                Column("s.e. of (a)", "standard_error_a", 1, low=0.0),
                Column("ESS of (a)", "ess_a", 1, low=0.0),
                Column("(b)", "b", 1),
                Column("s.e. of (b)", "standard_error_b", 1, low=0.0),
                Column("ESS of (b)", "ess_b", 1, low=0.0),
                Column("ESS of p(x_S) in (b)", "ess_given", 1, low=0.0),
            ),
            rows="conditional",
            heading="given",
        ),
    ),
    "representation": (
        Table(
            "Representations: accuracy of a linear probe on z given one modality or "
            "all, absolute error of reconstructions from the joint posterior, and "
            "diversity within class of what is generated from one other modality, as a "
            "share of the data's.",
            (
                Column("probe", "probe", 3, low=0.0, high=1.0),
                Column(
                    "absolute error", "reconstruction.joint.absolute_error", 3, low=0.0
                ),
                Column("diversity", "diversity", 3, low=0.0),
            ),
        ),
    ),
    "posterior_match": (
        Table(
            "Unimodal posteriors beside the joint one: E KL(q(z|X) ‖ q_j(z|x_j)), "
            "whose floor is what the other modalities tell of z; and how well a "
            "classifier tells (x_j, z) of the two apart, 0.5 at best. s.e. are "
            "standard errors over tuples.",
            (
                Column("KL, nats", "gap", 2),
                Column("s.e.", "gap_standard_error", 2, low=0.0),
                Column("accuracy", "accuracy", low=0.0, high=1.0),
                Column("s.e. of it", "standard_error", low=0.0, high=1.0),
                Column("detectable", "detectable", low=0.5, high=1.0),
            ),
            rows="unimodal",
            heading="given",
        ),
        Table(
            "Draws given one modality up to all beside chains through the decoders: "
            "accuracy of a classifier, 0.5 at best; below what is detectable it says "
            "nothing, nor does it of p(z|x_S) where R-hat is above 1.05: such chains "
            "have not found it.",
            (
                Column("accuracy", "accuracy", low=0.0, high=1.0),
                Column("s.e.", "standard_error", low=0.0, high=1.0),
                Column("detectable", "detectable", low=0.5, high=1.0),
                Column("chains' max R-hat", "rhat_max", 2, low=0.0),
            ),
            rows="chains",
            heading="given",
        ),
        Table(
            "Simulation-based calibration: ranks of z* and of log p(x_S|z*) among "
            "draws given x_S ~ p(x_S|z*). p of uniformity; share of outermost ranks "
            "over what is expected, above 1 where draws are too narrow.",
            (
                Column("p, z", "z.p_value", low=0.0, high=1.0),
                Column("outermost", "z.outer", 2, low=0.0),
                Column("p, log p", "log_likelihood.p_value", low=0.0, high=1.0),
                Column("outermost", "log_likelihood.outer", 2, low=0.0),
            ),
            rows="calibration",
            heading="given",
        ),
    ),
}
"""Measure -> its tables."""


def find(tree: Any, path: str) -> Any:
    """What lies at a path of keys joined by dots; None where nothing does.

    >>> find({"a": {"b": 1.5}}, "a.b"), find({"a": 1.5}, "a.b")
    (1.5, None)
    """
    for key in filter(None, path.split(".")):
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree


def rows_of(table: Table, measured: Mapping[str, Any]) -> Iterator[tuple[str, list]]:
    """Name of a row ("" where there is but one) -> a value for each column."""
    rows = find(measured, table.rows) if table.rows else {"": measured}
    for name, row in (rows or {}).items():
        yield name, [find(row, column.path) for column in table.columns]
