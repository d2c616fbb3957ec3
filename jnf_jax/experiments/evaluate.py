"""Evaluating a trained experiment: protocol v1, its record, and pictures."""

import dataclasses
import functools
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax.content_keys import content_key
from jnf_jax.data.dataset import contents
from jnf_jax.evaluation import energy_report, explorer, measures, paired, pictures
from jnf_jax.evaluation.classifiers import Classifiers, train_classifiers
from jnf_jax.evaluation.judging import NOTHING_JUDGED, judge
from jnf_jax.evaluation.kept import Kept
from jnf_jax.evaluation.posterior import (
    mean_subset_log_prob,
    mean_unimodal_log_prob,
)
from jnf_jax.evaluation.protocol import asked_subsets, protocol_name
from jnf_jax.evaluation.samples import (
    MAX_GROUPS,
    NUM_COMPARED,
    NUM_DRAWS,
    NUM_PICTURED,
    NUM_TABULATED,
    Drawn,
    save,
    save_table,
)
from jnf_jax.evaluation.statistics import coherence
from jnf_jax.evaluation.subject import HeldOut, Subject
from jnf_jax.experiments import logs, new_rows, records
from jnf_jax.experiments.console import console_table
from jnf_jax.experiments.experiment import (
    Setup,
    cache_dir_of,
    record_key,
    warning_of,
)
from jnf_jax.methods.method import PosteriorDensity, shared_latent
from jnf_jax.names import COVARIATES, file_name, join_names
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
        "num_tuples": settings.num_tuples,
        "subsets": settings.subsets,
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
        write: Called with the record so far before each measure, named "unfinished".
        compare: Called with what each tuple scored; adds to the record's coherence.
    """
    begin = time.monotonic()
    experiment = setup.experiment
    report("evaluating…")
    classifiers = _classifiers(setup, mesh, report)
    subject = _subject(setup, params, mesh, classifiers, report)
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


def _subject(
    setup: Setup,
    params: dict[str, Params],
    mesh: jax.sharding.Mesh | None,
    classifiers: Classifiers | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Subject:
    dataset = setup.dataset.complete
    test = dataset.splits["test"]
    return Subject(
        setup.method.inference,
        params,
        dataset,
        HeldOut(
            parallel.put(test.arrays, parallel.replicated(mesh)),
            dataset.fetch,
            test.size,
            test.labels,
            dataset.num_classes,
            test.rows,
            mesh,
            dataset.unlabelled,
        ),
        classifiers,
        setup.experiment.evaluation,
        report=report,
        decoder=setup.method.diffusion_decoder,
    )


class _Layout(NamedTuple):
    """Test tuples of one batch, each repeated for each draw of it; i32[N, K].

    As many as the protocol takes at once, so that its compiled programs serve: those
    that are compared in grids come first, those that are explored last.
    """

    compared: np.ndarray
    explored: np.ndarray
    size: int

    @property
    def indices(self) -> np.ndarray:
        """i32[size]: the tuple at every place of the batch."""
        found = np.arange(self.size, dtype=np.int32)
        found[: self.compared.size] = self.compared.ravel()
        found[self.size - self.explored.size :] = self.explored.ravel()
        return found

    @property
    def shown(self) -> np.ndarray:
        """The places that are decoded."""
        return np.r_[: self.compared.size, self.size - self.explored.size : self.size]


def write_pictures(
    setup: Setup,
    params: dict[str, Params],
    directory: Path,
    kept: Path,
    mesh: jax.sharding.Mesh | None = None,
) -> list[Path]:
    """Sample grids, from each modality, all but each, and each prior; and energies.

    There are none from modalities where ``evaluation.subsets`` is "none"; else a table
    of all of them stands beside the grids, in `any_to_any.png`. Beside each grid lies
    what the data set writes of its modalities: sounds, texts. A diffusion decoder's
    pictures of the same z are files of their own. ``kept`` is the folder of what a page
    shows beside them (``evaluation.explorer``).
    """
    inference, settings = setup.method.inference, setup.experiment.evaluation
    shown_by = {"": False}
    if setup.method.diffusion_decoder is not None:
        shown_by["_diffusion_decoder"] = True
    compared = _compared(setup, settings.batch_size)
    room = settings.batch_size - compared.size
    layout = _Layout(compared, _explored(setup, room), settings.batch_size)
    written, truth, given = _draw_subsets(
        setup, params, layout, directory, shown_by, mesh
    )
    priors, latents = {}, {}
    for name in inference.prior_names:
        own = "" if name == inference.prior_names[0] else f"_{name}"
        z = inference.sample_prior(params, jax.random.key(0), 2 * NUM_PICTURED, name)
        latents[name] = processes.to_host(shared_latent(z))
        for suffix, diffused in shown_by.items():
            drawn = Drawn({}, show(setup, params, z, seed=0, diffused=diffused))
            path = Path(directory) / f"unconditional{own}{suffix}.png"
            written += save(setup.dataset, drawn, path)
            priors[name] = priors.get(name, drawn.generated)
    for name in energy_report.energy_priors(inference, params):
        plot = energy_report.picture(_subject(setup, params, mesh), name)
        if processes.is_first():
            path = Path(directory) / f"energy_of_{name}.png"
            written.append(pictures.save_png(path, plot))
    explored = None
    if given:
        rows, num_draws = layout.explored[:, 0], layout.explored.shape[1]
        labels = setup.dataset.complete.splits["test"].labels
        labels = None if labels is None else labels[rows]
        explored = explorer.Explored(rows, labels, num_draws, truth, given, priors)
    joint = _joint_latents(setup, params, latents, mesh)
    explorer.keep(setup.dataset, explored, joint, kept)
    return written


def _draw_subsets(
    setup: Setup,
    params: dict[str, Params],
    layout: _Layout,
    directory: Path,
    shown_by: dict[str, bool],
    mesh: jax.sharding.Mesh | None,
) -> tuple[list[Path], dict[str, np.ndarray], dict[tuple[str, ...], Any]]:
    """Grids from each modality and all but each, and a table of all of them.

    Returns:
        Files; {m: truth f32[N, *shape]} of the explored tuples; and what was generated
        of them, {subset: {t: f32[N * K, *shape]}}, of other subsets too.
    """
    names, settings = setup.method.inference.modalities, setup.experiment.evaluation
    subsets = asked_subsets(settings, names) if settings.subsets != "none" else []
    pictured = [s for s in subsets if len(s) in (1, len(names) - 1)]
    others = [s for s in subsets if s not in pictured and layout.explored.size]
    num_others = max(0, explorer.MAX_SUBSETS - len(pictured))
    compared, explored = layout.compared, layout.explored
    written, truth, given = [], {}, {}
    for subset in pictured + others[:num_others]:
        for suffix, diffused in shown_by.items():
            if subset not in pictured and diffused:
                continue
            drawn = draw_conditional(
                setup, params, subset, layout.indices, seed=0, shown=layout.shown,
                mesh=mesh, diffused=diffused,
            )  # fmt: skip
            if subset in pictured:
                grid = Drawn(*drawn.first(compared.size), compared.shape[1])
                name = f"given_{file_name(join_names(subset))}{suffix}.png"
                written += save(setup.dataset, grid, Path(directory) / name)
            if explored.size and not diffused and len(given) < explorer.MAX_SUBSETS:
                last = slice(compared.size, None)
                given[subset] = {m: x[last] for m, x in drawn.generated.items()}
                each = slice(compared.size, None, explored.shape[1])
                truth = {m: x[each] for m, x in drawn.truth.items()}
    if given:
        path = Path(directory) / "any_to_any.png"
        table = {s: given[s] for s in pictured[:MAX_GROUPS]}
        written = _save_table(setup, truth, table, explored.shape, path) + written
    return written, truth, given


def _save_table(
    setup: Setup,
    truth: dict[str, np.ndarray],
    given: dict[tuple[str, ...], dict[str, np.ndarray]],
    shape: tuple[int, int],
    path: Path,
) -> list[Path]:
    """The first tuples, and fewer draws of more subsets, of draws in that ``shape``."""
    num_draws = min(3, 18 // len(given) or 1, shape[1])

    def few(x: np.ndarray) -> np.ndarray:
        own = x.reshape(*shape, *x.shape[1:])[:NUM_TABULATED, :num_draws]
        return own.reshape(-1, *x.shape[1:])

    table = {s: {m: few(x) for m, x in of.items()} for s, of in given.items()}
    real = {m: x[:NUM_TABULATED] for m, x in truth.items()}
    return save_table(setup.dataset, real, table, path)


def _joint_latents(
    setup: Setup,
    params: dict[str, Params],
    priors: dict[str, np.ndarray],
    mesh: jax.sharding.Mesh | None,
) -> explorer.Latents:
    """z given all views of the first test tuples, a batch of them at most."""
    inference, held_out = setup.method.inference, _subject(setup, params, mesh).held_out
    size = setup.experiment.evaluation.batch_size
    views = held_out.views(np.arange(size, dtype=np.int32) % held_out.size)
    names = tuple(inference.modalities)
    z, _ = inference.infer(params, jax.random.key(0), views, names)
    num = min(size, held_out.size)
    joint = processes.to_host(shared_latent(z))[:num]
    labels = held_out.labels
    return explorer.Latents(joint, None if labels is None else labels[:num], priors)


def _compared(setup: Setup, room: int) -> np.ndarray:
    """The first test tuples, each repeated for each draw of it: i32[N, K], K ≥ 1."""
    num = min(NUM_COMPARED, setup.dataset.splits["test"].size, room)
    num_draws = min(NUM_DRAWS, room // num)
    return np.repeat(np.arange(num, dtype=np.int32)[:, None], num_draws, axis=1)


def _explored(setup: Setup, room: int) -> np.ndarray:
    """Test tuples of table and page, each repeated for each draw: i32[N, K].

    Tuples of different classes, where there are classes; none without room.
    """
    test = setup.dataset.complete.splits["test"]
    chosen = np.arange(test.size)
    if test.labels is not None:
        chosen = np.sort(np.unique(np.asarray(test.labels), return_index=True)[1])
    num_draws = max(1, min(explorer.NUM_DRAWS, room // NUM_TABULATED))
    chosen = chosen[: min(explorer.NUM_TUPLES, room // num_draws)]
    return np.repeat(chosen[:, None], num_draws, axis=1).astype(np.int32)


def draw_conditional(
    setup: Setup,
    params: dict[str, Params],
    subset: tuple[str, ...],
    indices: np.ndarray,
    seed: int,
    shown: np.ndarray | slice = slice(None),
    mesh: jax.sharding.Mesh | None = None,
    diffused: bool = False,
    report: Callable[[str], None] | None = None,
) -> Drawn:
    """Test tuples, at ``indices`` modulo their number: given, generated and all views.

    ``shown`` are the positions in ``indices`` that are decoded; ``report``, where there
    is one, is told of draws that are not to be trusted; else as ``show``.
    """
    inference = setup.method.inference
    held_out = _subject(setup, params, mesh).held_out
    views = held_out.views(indices.astype(np.int32) % held_out.size)
    z, info = inference.infer(params, jax.random.key(seed), views, subset)
    if report and info is not None:
        given = {m: views[m] for m in subset}
        chains = new_rows.chains_of(inference, subset, params, given, z, info)
        chains = new_rows.Chains(*(np.asarray(x)[None] for x in chains))
        if told := chains.warning():
            report(f"warning: {told}")
    z = jax.tree.map(lambda a: a[shown], z)
    generated = show(setup, params, z, seed, diffused)
    views = processes.to_host(views)
    targets = coherence.targets_of(subset, inference.modalities)
    return Drawn(
        {m: views[m][shown] for m in subset},
        {m: generated[m] for m in targets},
        {m: x[shown] for m, x in views.items() if m != COVARIATES},
    )


def show(
    setup: Setup, params: dict[str, Params], z: Any, seed: int, diffused: bool = False
) -> dict[str, np.ndarray]:
    """{m: z decoded}, on the host: decoder means, or draws of the diffusion decoder.

    Raises:
        ValueError: If draws are wanted of a method without a diffusion decoder.
    """
    inference, decoder = setup.method.inference, setup.method.diffusion_decoder
    if not diffused:
        shown = _decoded_means(inference, params, z)
    elif decoder is None:
        raise ValueError(
            "`diffused` is True, expected False: the config has no `denoiser`"
        )
    else:
        draw = jax.jit(decoder.draw, static_argnums=3)
        draw_key = jax.random.fold_in(jax.random.key(seed), 1)
        shown = draw(params, draw_key, z, inference.modalities)
    return processes.to_host(setup.dataset.clip(shown))


@functools.partial(jax.jit, static_argnums=0)
def _decoded_means(inference, params, z: Any) -> dict[str, jax.Array]:
    return {m: p.mean() for m, p in inference.decode(params, z).items()}
