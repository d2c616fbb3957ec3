"""An experiment that is open: its settings, its data, its method, its checkpoints."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from jnf_jax import checkpoint
from jnf_jax.content_keys import content_key, identity
from jnf_jax.data.dataset import Dataset, contents
from jnf_jax.data.placement import place
from jnf_jax.data.registry import DATASETS
from jnf_jax.experiments.config import Experiment, resolve
from jnf_jax.likelihoods import OF_OWN_UNITS
from jnf_jax.methods.decoder_posterior import Reweighting, check_target
from jnf_jax.methods.joint_inference import JointInference
from jnf_jax.methods.method import Method, PosteriorDensity
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import ModelSettings
from jnf_jax.names import join_names
from jnf_jax.options import identity_of
from jnf_jax.runtime import switches
from jnf_jax.runtime.files import user_path
from jnf_jax.stage import Stage
from jnf_jax.training import resume
from jnf_jax.types import Params

DRAWS_JOINTLY = ("joint", "prior", "subsets")
"""Stages that have a prior; that of "subsets" is q(z|∅)."""

OF_DENSITY = ("likelihood", "posterior_match")
"""Measures of densities of z, not of its draws alone."""


class Setup(NamedTuple):
    """Settings, data and method of one experiment."""

    experiment: Experiment
    dataset: Dataset
    method: Method


def open_experiment(config: ml_collections.ConfigDict) -> Setup:
    """Checks the config, loads and places the data, builds the method.

    Raises:
        ValueError: With every fault of the config; or what is wrong with the data; as
            ``switches.check``.
    """
    switches.check()
    experiment = resolve(config)
    dataset = DATASETS[experiment.data_name][1](experiment.data)
    cache_dir = getattr(experiment.data, "cache_dir", "")
    return build_setup(experiment, place(dataset, experiment.placement, cache_dir))


def cache_dir_of(setup: Setup) -> str:
    """The folder of caches that the config names; "" is the user's."""
    return getattr(setup.experiment.data, "cache_dir", "")


def build_setup(experiment: Experiment, dataset: Dataset) -> Setup:
    """Builds the method for these data, of which no split is read.

    Raises:
        ValueError: With every fault of the settings for data of these shapes.
    """
    method = build_method(
        experiment.method,
        dataset.shapes,
        model=experiment.model,
        flow=experiment.flow,
        sampler=experiment.sampler,
        quotient=experiment.quotient,
        fitted_prior=experiment.fitted_prior,
        denoiser=experiment.denoiser,
        **experiment.sections,
    )
    refines = experiment.refinement is not None
    if refines and not isinstance(method.inference, JointInference):
        raise ValueError(
            f"`refinement` is not for method {experiment.method!r}, expected one with "
            "a joint encoder: 'jnf', 'jnf_shared' or 'jmvae'"
        )
    if isinstance(experiment.refinement, Reweighting):
        check_target(method.inference, experiment.refinement)
    if refines and experiment.evaluation.subsets == "none":
        raise ValueError(
            "`evaluation.subsets` is 'none', expected 'some': `refinement` starts at "
            "what is drawn given subsets"
        )
    of_density = [m for m in OF_DENSITY if m in experiment.measures]
    if of_density and not isinstance(method.inference, PosteriorDensity):
        raise ValueError(
            f"`evaluation.measures` has {of_density[0]!r}, expected none of "
            f"{list(OF_DENSITY)} with method {experiment.method!r}: it draws z and has "
            "no density of it"
        )
    check_partial_rows(experiment.model, dataset)
    check_partial_entries(experiment.model, dataset)
    check_own_units(experiment.model, dataset)
    check_covariates(experiment, dataset)
    decoder = method.diffusion_decoder
    drawn = () if decoder is None else decoder.modalities
    if unbounded := [m for m in drawn if m in dataset.unbounded]:
        raise ValueError(
            f"`denoiser` draws values in [0, 1], expected pictures: {unbounded} of "
            f"{dataset.name!r} have others"
        )
    if holed := [m for m in drawn if m in dataset.partial]:
        raise ValueError(
            f"`denoiser` knows no missing entries, expected none: rows of "
            f"{dataset.name!r} lack some of {holed}"
        )
    return Setup(experiment, dataset, method)


def check_partial_rows(model: ModelSettings, dataset: Dataset) -> None:
    """Refuses rows that lack views where the model does not expect or cannot use them.

    Raises:
        ValueError: ``model.partial_rows`` is not set; no training row has two views.
    """
    train = dataset.splits.get("train")
    lacking = {
        name: int(np.sum(~split.has_all))
        for name, split in dataset.splits.items()
        if split.present is not None
    }
    if any(lacking.values()) and not model.partial_rows:
        raise ValueError(
            "`model.partial_rows` is False, expected True: "
            + ", ".join(f"{num} rows of {name!r}" for name, num in lacking.items())
            + f" of {dataset.name!r} lack views"
        )
    if train is not None and train.present is not None:
        if np.max(sum(np.asarray(has, int) for has in train.present.values())) < 2:
            raise ValueError(
                f"no training row of {dataset.name!r} has two views, expected some: "
                "they alone tell how views go together"
            )


def check_partial_entries(model: ModelSettings, dataset: Dataset) -> None:
    """Refuses rows that lack entries of views whose networks do not expect it.

    Raises:
        ValueError: ``partial_entries`` of their networks is not set.
    """
    for m in dataset.partial:
        if not model.network(m).partial_entries:
            raise ValueError(
                f"`model.networks.{m}.partial_entries` is False, expected True: rows "
                f"of {dataset.name!r} lack entries of {m!r}"
            )


def check_covariates(experiment: Experiment, dataset: Dataset) -> None:
    """Refuses covariates that the model does not expect, or chains that read none.

    Raises:
        ValueError: ``model.num_covariates`` is not how many columns there are; a
            refinement, or a measure that makes up views.
    """
    num = sum(covariate.width for covariate in dataset.covariates)
    if num != experiment.model.num_covariates:
        raise ValueError(
            f"`model.num_covariates` is {experiment.model.num_covariates}, expected "
            f"{num}, the columns of the covariates of {dataset.name!r}"
        )
    if num and experiment.refinement is not None:
        raise ValueError("`refinement` knows no covariates, expected data without any")
    if num and "label_distribution" in experiment.measures:
        raise ValueError(
            "`evaluation.measures` has 'label_distribution', whose rows have no "
            "covariates, expected others"
        )


def never_trained(
    dataset: Dataset, subsets: Sequence[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Those of ``subsets`` that no training row has beside another view.

    One flow for every subset learns q(z|x_S) from the rows whose views are S and more,
    and from those that decoders draw; of other S it says what the network makes of
    them.
    """
    train = dataset.splits.get("train")
    if train is None or train.present is None:
        return []
    has = {m: np.asarray(of, bool) for m, of in train.present.items()}
    num = sum(of.astype(int) for of in has.values())
    return [
        s
        for s in subsets
        if not np.any(np.all([has[m] for m in s], axis=0) & (num > len(s)))
    ]


def warning_of(
    dataset: Dataset, subsets: Sequence[tuple[str, ...]], is_simulated: bool
) -> str:
    """A line about subsets that ``never_trained`` tells; "" where there are none.

    ``is_simulated``: Whether rows that the decoders drew were trained on beside.
    """
    if not (wrong := never_trained(dataset, subsets)):
        return ""
    told = ", ".join(map(join_names, wrong))
    others = ", ".join(join_names(s) for s in subsets if s not in wrong)
    how = "was never trained"
    if is_simulated:
        how = "was trained on rows that the decoders drew, and on no others"
    return (
        f"warning: no training row has {told} and another view, so that what is "
        f"inferred from these {how}; rows there were for {others}"
    )


def check_own_units(model: ModelSettings, dataset: Dataset) -> None:
    """Refuses likelihoods of counts, classes and angles for views that were scaled.

    Raises:
        ValueError: The likelihood is one of ``OF_OWN_UNITS``, the view has a scaling.
    """
    for m in dataset.scaling:
        if (name := model.likelihood(m).name) in OF_OWN_UNITS:
            raise ValueError(
                f"`model.likelihoods.{m}.name` is {name!r}, which is of values as they "
                f"are: expected `data.scaling.{m}` 'none' when the data are converted, "
                f"got {dataset.scaling[m].rule!r}"
            )


def stage_directory(workdir: Path, stage: str) -> Path:
    """Where a run keeps the checkpoints of a stage."""
    return Path(workdir) / "checkpoints" / stage


def stage_path(setup: Setup, workdir: Path, stage: str) -> Path:
    """Where a stage that is not trained now is read from: ``init``, or the workdir."""
    if path := setup.experiment.init.get(stage):
        return user_path(path, f"init.{stage}")
    return stage_directory(workdir, stage)


def evaluated_stages(setup: Setup) -> tuple[Stage, ...]:
    """Those that evaluation reads; for joint draws alone, theirs and what they need."""
    stages, experiment = setup.method.stages, setup.experiment
    if experiment.evaluation.subsets != "none" or experiment.measures:
        return stages
    read = {*DRAWS_JOINTLY}
    for stage in reversed(stages):  # what a stage needs comes before it
        if stage.name in read:
            read.update(stage.needs)
    return tuple(stage for stage in stages if stage.name in read)


def stage_identity(
    setup: Setup, stage: Stage, checkpoint_ids: dict[str, str]
) -> dict[str, Any]:
    """Everything that decides a stage's parameters, apart from how they are trained.

    It is JSON-able. Data are known by their contents, so that a directory may move;
    earlier stages by the identity of their parameters. Test tuples and labels may
    change: no stage reads them.
    """
    experiment, splits = setup.experiment, ("train", "validation")
    about = {
        "data": contents(setup.dataset, splits=splits, with_labels=False),
        "method": stage.of or experiment.method,
        "model": identity_of(experiment.model),
        "needs": {name: checkpoint_ids[name] for name in stage.needs},
    }
    for field in stage.settings:
        own = experiment.sections.get(field)
        about[field] = identity_of(own or getattr(experiment, field))
    return identity("stage", about)


def record_key(setup: Setup) -> str:
    """The key of the record that this experiment ends with.

    It covers all settings, the contents of all splits with their labels, and the
    parameters that are read from elsewhere, wherever data and checkpoints lie. Stages
    that the run trains itself follow from these.
    """
    settings = dataclasses.asdict(setup.experiment)
    del settings["data"]
    read = dict.fromkeys(settings["init"])
    for stage, path in settings["init"].items():
        place = user_path(path, f"init.{stage}")
        with contextlib.suppress(ValueError):  # no intact checkpoint (any more)
            read[stage] = checkpoint.checkpoint_id(checkpoint.resolve(place))
    data = contents(setup.dataset)
    return content_key("record", settings | {"init": read, "contents": data})


def load_stage(
    setup: Setup,
    stage: Stage,
    path: Path,
    checkpoint_ids: dict[str, str],
    sharding: jax.sharding.Sharding | None = None,
) -> tuple[Params, str, float]:
    """The parameters of a stage trained before, their identity, the seconds they took.

    ``path`` is a checkpoint, or a directory of checkpoints, of which the newest is
    read; ``sharding`` None is the first device.

    Raises:
        ValueError: Nothing there; damaged; not trained to its end; trained on other
            data or for another model; or any leaf missing, extra or misshapen.
    """
    path = checkpoint.resolve(path)
    stored = checkpoint.read_metadata(path)
    written = stored["identity"]
    wanted = stage_identity(setup, stage, checkpoint_ids)
    resume.check_identity(path, written["config"], wanted)
    step, num_steps = checkpoint.read_step(path), written["settings"]["num_steps"]
    if step < num_steps:
        raise ValueError(
            f"{path} stopped at step {step} of {num_steps}: run jnf_jax.train again to "
            "finish the stage first"
        )
    like = jax.eval_shape(stage.init, jax.random.key(0))
    params = checkpoint.restore_params(path, like, sharding=sharding)
    return params, checkpoint.checkpoint_id(path), stored["seconds"]


def load_stages(
    setup: Setup,
    workdir: Path,
    sharding: jax.sharding.Sharding | None = None,
    stages: tuple[Stage, ...] | None = None,
) -> tuple[dict[str, Params], dict[str, str], float]:
    """Reads stages, all where ``stages`` is None, from ``init`` or from a run.

    Returns:
        {stage: parameters}, {stage: identity}, and the wall seconds of all their
        training.

    Raises:
        ValueError: As ``load_stage``; a stage that was never trained is named.
    """
    params, checkpoint_ids, seconds = {}, {}, 0.0
    for stage in setup.method.stages if stages is None else stages:
        path = stage_path(setup, workdir, stage.name)
        found = load_stage(setup, stage, path, checkpoint_ids, sharding)
        params[stage.name], checkpoint_ids[stage.name], spent = found
        seconds += spent
    return params, checkpoint_ids, seconds
