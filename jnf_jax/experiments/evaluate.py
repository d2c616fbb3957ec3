"""Evaluating a trained experiment: protocol v1 and its record."""

import dataclasses
import functools
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jnf_jax.content_keys import content_key
from jnf_jax.data.dataset import contents
from jnf_jax.evaluation import energy_report, measures, paired, pictures
from jnf_jax.evaluation.classifiers import Classifiers, train_classifiers
from jnf_jax.evaluation.judging import NOTHING_JUDGED, judge
from jnf_jax.evaluation.kept import Kept
from jnf_jax.evaluation.posterior import (
    mean_subset_log_prob,
    mean_unimodal_log_prob,
)
from jnf_jax.evaluation.protocol import asked_subsets, protocol_name
from jnf_jax.evaluation.subject import Subject
from jnf_jax.experiments import logs, records
from jnf_jax.experiments.console import console_table
from jnf_jax.experiments.draws import subject_of, write_pictures
from jnf_jax.experiments.experiment import (
    Setup,
    cache_dir_of,
    record_key,
    warning_of,
)
from jnf_jax.methods.method import PosteriorDensity
from jnf_jax.names import join_names
from jnf_jax.page.page import write_own
from jnf_jax.page.runs import KEPT
from jnf_jax.runtime import parallel, processes
from jnf_jax.runtime.files import write_whole
from jnf_jax.types import Params

LEAST_ACCURACY = 0.5
"""A classifier that reads less of real test data right is warned of."""


def evaluate_and_write(
    setup: Setup,
    params: dict[str, Params],
    checkpoint_ids: dict[str, str],
    workdir: Path,
    *,
    mesh: jax.sharding.Mesh,
    provenance: dict[str, Any],
    training_seconds: float,
    out: Path | None = None,
    against: Sequence[Path] = (),
) -> dict[str, Any] | None:
    """Evaluates, prints the table, writes record and pictures.

    ``results.json``, ``samples/`` and ``scores.npz`` (``evaluation.paired``) go to
    ``workdir``; so does ``unfinished.json``, the record so far while measures run,
    which stays where one of them fails. The other arguments are those of ``evaluate``;
    ``provenance`` is read in the first process alone, the record also goes to ``out``,
    and as many devices of ``mesh`` share in a batch as divide it. Runs whose workdirs
    are ``against`` are compared with, tuple by tuple.

    Returns:
        The record; None in all processes but the first, which writes it.
    """
    settings = setup.experiment.evaluation
    test = setup.dataset.complete.splits["test"]
    batch_size = min(settings.batch_size, settings.num_tuples or test.size)
    mesh = parallel.dividing_mesh(mesh, batch_size)
    params = parallel.put(params, parallel.replicated(mesh))
    run = logs.describe_run()
    about = {
        "checkpoints": checkpoint_ids,
        "experiment": dataclasses.asdict(setup.experiment),
        "data": contents(setup.dataset),
        "code": [run["commit"], run["versions"]],
    }
    kept = Kept(workdir / "evaluation", about, processes.say)
    key = _scores_key(setup)
    others = _scores_of(against, key, test.labels is not None)
    unfinished = workdir / "unfinished.json"
    record = evaluate(
        setup,
        params,
        checkpoint_ids,
        provenance=provenance,
        training_seconds=training_seconds,
        mesh=mesh,
        report=processes.say,
        kept=kept,
        write=functools.partial(_keep_so_far, unfinished),
        compare=functools.partial(_keep_and_compare, workdir, key, others),
    )
    if processes.is_first():
        _write_record([workdir / "results.json", out], record)
        unfinished.unlink(missing_ok=True)
        print(f"Record: {workdir / 'results.json'}")
    kept.discard()
    processes.say("drawing pictures…")
    written = write_pictures(
        setup, params, workdir / "samples", workdir / KEPT, mesh=mesh
    )
    if processes.is_first():
        for name, picture in measures.pictures(record).items():
            written.append(pictures.save_png(workdir / "samples" / name, picture))
    named = ", ".join(path.name for path in written)
    processes.say(f"Pictures in {workdir / 'samples'}: {named}")
    if processes.is_first():
        write_own(workdir, processes.say)
    processes.say(f"To draw more: {_command_that_draws(setup, workdir)}")
    return record if processes.is_first() else None


def _scores_key(setup: Setup) -> str:
    """Of all that decides which tuples are scored, given what, and by whom."""
    settings = setup.experiment.evaluation
    about = {
        "data": contents(setup.dataset),
        "num_tuples": settings.num_tuples or setup.dataset.complete.splits["test"].size,
        "subsets": [*map(join_names, asked_subsets(settings, setup.dataset.shapes))],
        "classifier": dataclasses.asdict(setup.experiment.classifier),
    }
    return content_key("scores", about)


def _scores_of(
    workdirs: Sequence[Path], key: str, has_labels: bool
) -> dict[str, paired.Scores]:
    """{name of a workdir: its scores}, known to be of what is scored here."""
    names = [folder.name for folder in workdirs]
    if len(set(names)) < len(names):
        raise ValueError(f"`--against` has names {names}, expected no two alike")
    if names and not has_labels:
        raise ValueError(
            "`--against` compares coherence, and these data have no labels for it"
        )
    return {folder.name: paired.read(folder, key) for folder in workdirs}


def _keep_and_compare(
    workdir: Path, key: str, others: Mapping[str, paired.Scores], scores: paired.Scores
) -> dict[str, Any]:
    """Keeps what each tuple scored; {"against": differences from each other run}."""
    if processes.is_first():
        paired.keep(workdir, scores._replace(key=key))
    apart = {name: paired.differences(scores, other) for name, other in others.items()}
    return {"against": apart} if apart else {}


def _keep_so_far(path: Path, record: dict[str, Any]) -> None:
    """Writes a record that is not finished, if it can be: all is still in memory."""
    if not processes.is_first():
        return
    try:
        records.write(path, record)
    except (OSError, ValueError) as error:
        processes.say(f"warning: what is known so far is not kept: {error}")


def _command_that_draws(setup: Setup, workdir: Path) -> str:
    command = f"python -m jnf_jax.sample --workdir {shlex.quote(str(workdir))}"
    if setup.experiment.evaluation.subsets != "none":
        command += f" --given {shlex.quote(setup.method.inference.modalities[0])}"
    return f"{command} --out more.png"


def _write_record(paths: list[Path | None], record: dict[str, Any]) -> None:
    """Writes and prints what was computed, whatever comes in between."""
    try:
        records.write_all(paths, record)
    except ValueError as error:  # a measure's fault, or ours
        refused = paths[0].with_name("refused.json")
        write_whole(refused, json.dumps(record, indent=2, default=str))
        raise ValueError(f"{error}\nIt is kept as it is in {refused}") from error
    finally:
        print(console_table(record))


def evaluate(
    setup: Setup,
    params: dict[str, Params],
    checkpoint_ids: dict[str, str],
    *,
    provenance: dict[str, Any],
    training_seconds: float,
    mesh: jax.sharding.Mesh | None = None,
    report: Callable[[str], None] = lambda line: None,
    kept: Kept | None = None,
    write: Callable[[dict[str, Any]], None] = lambda record: None,
    compare: Callable[[paired.Scores], dict[str, Any]] = lambda scores: {},
) -> dict[str, Any]:
    """Runs the protocol and returns the record; see docs/results_schema.md.

    Rows that lack views are left out: the truth of what is generated must be known.

    Args:
        setup: The experiment.
        params: Parameters by stage.
        checkpoint_ids: Identities of the stages' parameters.
        provenance: How the parameters were made; see ``logs.provenance``.
        training_seconds: Wall time of training.
        mesh: Devices over which batches are split; ``params`` are whole on each.
        report: Called with lines to show.
        kept: Draws that an evaluation before this one found.
        write: Called with the record so far before each measure, lest one lose it.
        compare: Called with what each tuple scored; adds to the record's coherence.
    """
    begin = time.monotonic()
    experiment = setup.experiment
    report("evaluating…")
    classifiers = _classifiers(setup, mesh, report)
    subject = subject_of(setup, params, mesh, classifiers, report)
    energies = energy_report.energy_priors(subject.inference, params)
    # Before the subsets: those of two and more divide by the density that is checked.
    about = {name: energy_report.report(subject, name) for name in energies}
    judged = dict(NOTHING_JUDGED)
    if classifiers:
        sampler = dataclasses.asdict(experiment.sampler)
        sampler |= dataclasses.asdict(experiment.quotient)
        judged, draws, scores = judge(subject, sampler, experiment.refinement, kept)
        judged["coherence"] |= compare(scores)
        subject = subject._replace(draws=draws)
    if experiment.evaluation.subsets != "none":
        _tell_of_subsets(setup, subject)
        judged |= _log_densities(subject)

    def record(more: dict[str, Any]) -> dict[str, Any]:
        seconds = time.monotonic() - begin + (kept.seconds if kept else 0.0)
        shapes, size = setup.dataset.shapes, subject.held_out.size
        settings = (experiment.evaluation, experiment.sampler)
        return {
            "dataset": setup.dataset.name,
            "method": experiment.method,
            "protocol": protocol_name(*settings, size, shapes),
            "seeds": [experiment.training["joint"].seed],
            "num_tuples": subject.num_tuples,
            "data": setup.dataset.record,
            "stage1_checkpoint": checkpoint_ids["joint"],
            "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
            "key": record_key(setup),
            **provenance,
            "wall_seconds": seconds + training_seconds,
            "training_seconds": training_seconds,
            "evaluation_seconds": seconds,
            **judged,
            **({"energy_priors": about} if about else {}),
            **more,
        }

    def before_each(found: dict[str, Any], waiting: list[str]) -> None:
        write(record(found) | {"unfinished": waiting})

    return record(measures.run(experiment.measures, subject, before_each))


def _log_densities(subject: Subject) -> dict[str, Any]:
    """Means of log q(z|x_S) at z ~ q(z|X), as the record has them; {} of draws that
    have no density."""
    if not isinstance(subject.inference, PosteriorDensity):
        return {}
    found = {"unimodal_log_prob": mean_unimodal_log_prob(subject)}
    if densities := mean_subset_log_prob(subject):
        found["subset_log_prob"] = densities
    return found


def _tell_of_subsets(setup: Setup, subject: Subject) -> None:
    """Warns of subsets that no training row told of."""
    if "subsets" not in {stage.name for stage in setup.method.stages}:
        return  # experts are of single views
    settings = setup.experiment.sections["subset_posterior"]
    is_simulated = settings.simulated_share > 0
    if told := warning_of(setup.dataset, subject.subsets, is_simulated):
        subject.report(told)


def _classifiers(
    setup: Setup, mesh: jax.sharding.Mesh | None, report: Callable[[str], None]
) -> Classifiers | None:
    """Opens the classifiers; without labels there are none, and a line says so."""
    experiment, dataset = setup.experiment, setup.dataset.complete
    if dataset.num_classes is None:
        for what in ["coherence"] + ["refinement"] * bool(experiment.refinement):
            report(f"not measured: {what} needs labels, and {dataset.name!r} has none")
        return None
    found = train_classifiers(dataset, experiment.classifier, cache_dir_of(setup), mesh)
    for m, share in found.accuracy.items():
        if share < LEAST_ACCURACY:
            report(
                f"warning: the classifier of {m} reads {share:.1%} of real test data "
                "right: what it says of generated ones is no coherence"
            )
    return found
