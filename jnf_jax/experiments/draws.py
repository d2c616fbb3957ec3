"""Draws of a trained experiment, decoded: for pictures, for a page, and for a user."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax.evaluation import energy_report, explorer, pictures
from jnf_jax.evaluation.classifiers import Classifiers
from jnf_jax.evaluation.protocol import asked_subsets
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
from jnf_jax.experiments import new_rows
from jnf_jax.experiments.experiment import Setup
from jnf_jax.methods.method import shared_latent
from jnf_jax.names import COVARIATES, file_name, join_names
from jnf_jax.runtime import parallel, processes
from jnf_jax.types import Params


def subject_of(
    setup: Setup,
    params: dict[str, Params],
    mesh: jax.sharding.Mesh | None,
    classifiers: Classifiers | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Subject:
    """The trained model with the test tuples that it is judged on.

    They are on every device of ``mesh``. ``report`` is called with lines to show.
    """
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
        plot = energy_report.picture(subject_of(setup, params, mesh), name)
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
    inference, held_out = (
        setup.method.inference,
        subject_of(setup, params, mesh).held_out,
    )
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
    held_out = subject_of(setup, params, mesh).held_out
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
