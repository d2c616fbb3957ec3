"""A dry pass: whatever a run will compute, on shapes alone, before the first step.

What a config and its data cannot do is then told at once, and not when all is trained.
Nothing is compiled, and nothing computed but a picture of a blank tuple. It takes half
a second on one core (at c071e37, by hand: digits/quick 0.9 s of CPU time,
digits/jnf_paper 0.4, digits/mmvae_plus 0.4), as chains are not traced.
"""

from pathlib import Path

import jax
import numpy as np

from jnf_jax.data.dataset import Dataset, Presentation
from jnf_jax.experiments.experiment import Setup, evaluated_stages, stage_path
from jnf_jax.experiments.stages import check_stage
from jnf_jax.methods.method import Batch
from jnf_jax.networks.classifier import Classifier
from jnf_jax.stage import Stage
from jnf_jax.types import COVARIATES, Params

Shaped = dict[str, jax.ShapeDtypeStruct]
"""{m: shape and type of an array}, in place of views."""

_FEW = 2
"""Tuples that draws and classifiers are tried on."""


def check(setup: Setup, workdir: Path, with_evaluation: bool) -> None:
    """Tries on shapes every stage that the run trains, and its evaluation.

    Raises:
        ValueError: A single view; a stage that lacks another, or whose cache would be
            too large; whatever a loss, a draw or a picture refuses.
    """
    shapes = setup.dataset.shapes
    if len(shapes) < 2:
        raise ValueError(
            f"data set {setup.dataset.name!r} has {[*shapes]} alone, expected two or "
            "more views"
        )
    key, params = jax.eval_shape(lambda: jax.random.key(0)), {}
    for stage in setup.method.stages:
        name, init = stage.name, setup.experiment.init
        if name in setup.experiment.stages and name not in init:
            check_stage(stage, setup.dataset, params)
            size = setup.experiment.training[name].batch_size
            params[name] = _try_stage(stage, setup.dataset, params, key, size)
        elif stage_path(setup, workdir, name).exists():
            params[name] = jax.eval_shape(stage.init, key)
    missing = [s.name for s in evaluated_stages(setup) if s.name not in params]
    if with_evaluation and not missing:
        _try_evaluation(setup, params, key)


def _try_stage(
    stage: Stage,
    dataset: Dataset,
    params: dict[str, Params],
    key: jax.ShapeDtypeStruct,
    batch_size: int,
) -> Params:
    """The shapes of its parameters, once its loss has given a scalar of a batch."""
    own, memory = (
        jax.eval_shape(stage.init, key),
        jax.eval_shape(stage.init_memory, key),
    )
    views, present = _batch(dataset, "train", batch_size)
    needed, cached = {name: params[name] for name in stage.needs}, None
    if stage.cache is not None:
        cached = jax.eval_shape(stage.cache, needed, views, *filter(None, [present]))
    frozen = needed if stage.reads_frozen else None
    jax.eval_shape(stage.loss, own, frozen, key, Batch(views, cached, present), *memory)
    return own


def _batch(dataset: Dataset, split: str, size: int) -> tuple[Shaped, Shaped | None]:
    """Shapes of some tuples, and of the mask of what they lack, None without one.

    Raises:
        ValueError: ``fetch`` gives other views than the data set declares.
    """
    of = dataset.splits[split]
    rows = of.rows(np.arange(size, dtype=np.int32) % of.size)
    views = jax.eval_shape(dataset.fetch, of.arrays, rows)
    got = {m: tuple(x.shape[1:]) for m, x in views.items() if m != COVARIATES}
    if got != {m: tuple(shape) for m, shape in dataset.shapes.items()}:
        raise ValueError(
            f"data set {dataset.name!r} gives views of shapes {got}, expected "
            f"{dataset.shapes}"
        )
    mask = jax.ShapeDtypeStruct((size,), bool)
    return views, None if of.present is None else dict.fromkeys(of.present, mask)


def _try_evaluation(
    setup: Setup, params: dict[str, Params], key: jax.ShapeDtypeStruct
) -> None:
    """Draws given one view, given all, and from every prior; pictures; classifiers."""
    inference, dataset = setup.method.inference, setup.dataset
    names, (views, _) = inference.modalities, _batch(dataset, "test", _FEW)
    with_subsets = setup.experiment.evaluation.subsets != "none"
    for subset in (names[:1], names) if with_subsets else ():

        def infer(params, key, views, subset=subset):
            return inference.infer(params, key, views, subset)[0]

        jax.eval_shape(infer, params, key, views)
    for prior in inference.prior_names:

        def draw(params, key, prior=prior):
            z = inference.sample_prior(params, key, _FEW, prior)
            return {m: p.mean() for m, p in inference.decode(params, z).items()}

        drawn = jax.eval_shape(draw, params, key)
        blank = {m: np.zeros(x.shape, np.float32) for m, x in drawn.items()}
        _check_pictures(dataset, blank)
    if dataset.num_classes is not None and dataset.read_label is None:
        for m in dataset.shapes:
            jax.eval_shape(Classifier(dataset.num_classes).init, key, views[m])


def _check_pictures(dataset: Dataset, views: dict[str, np.ndarray]) -> None:
    """Raises ValueError where a view cannot be shown."""
    for m, x in views.items():
        picture = dataset.presentations.get(m, Presentation()).picture
        shape = np.shape(x if picture is None else picture(x))
        if len(shape) != 4 or shape[-1] not in (1, 3):
            raise ValueError(
                f"data set {dataset.name!r}: pictures of {m!r} have the shape {shape}, "
                "expected [N, height, width, 1 or 3]: it needs a `Presentation`"
            )
