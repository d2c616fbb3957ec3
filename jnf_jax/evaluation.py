"""Evaluating a trained experiment: protocol v1, its record, and pictures."""

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax import energy_report, pictures
from jnf_jax.classifiers import train_classifiers
from jnf_jax.data.tfds_cache import cache_root
from jnf_jax.experiment import Setup
from jnf_jax.methods.method import Inference
from jnf_jax.metrics import coherence
from jnf_jax.metrics.posterior import mean_unimodal_log_prob
from jnf_jax.metrics.protocol import (
    CoherenceReport,
    HeldOut,
    evaluate_coherence,
    protocol_name,
)
from jnf_jax.types import Params

NUM_PICTURED = 16


def evaluate(
    setup: Setup,
    params: dict[str, Params],
    checkpoint_ids: dict[str, str],
    *,
    provenance: dict[str, Any],
    training_seconds: float,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Runs the protocol and returns the record; see docs/results_schema.md.

    Args:
        setup: The experiment.
        params: Parameters by stage.
        checkpoint_ids: Identities of the stages' parameters.
        provenance: How the parameters were made: ``config``, ``command``, ``commit``,
            ``hardware``, ``versions`` (see ``logs.provenance``).
        training_seconds: Wall time of training.
        report: Called with lines to show.
    """
    begin = time.monotonic()
    settings, inference = setup.experiment.evaluation, setup.method.inference
    classifiers = train_classifiers(
        setup.dataset,
        setup.experiment.classifier,
        cache_root(getattr(setup.experiment.data, "cache_dir", "")),
    )
    test = setup.dataset.splits["test"]
    held_out = HeldOut(
        jax.tree.map(jnp.asarray, test.arrays),
        setup.dataset.fetch,
        test.labels,
        setup.dataset.num_classes,
        test.rows,
    )
    energies = energy_report.energy_priors(inference, params)
    # Before the subsets: those of two and more divide by the density that is checked.
    about = {n: energy_report.report(setup, params, n, report) for n in energies}
    measured = evaluate_coherence(
        inference, params, held_out, classifiers.predict, settings, report=report
    )
    by_steps = {
        name: energy_report.coherence_by_steps(
            inference, params, name, classifiers.predict, held_out.num_classes,
            settings, report,
        )
        for name in energies
    }  # fmt: skip
    match = mean_unimodal_log_prob(inference, params, held_out, settings)
    seconds = time.monotonic() - begin
    return {
        **_describe(setup),
        **provenance,
        "wall_seconds": seconds + training_seconds,
        "evaluation_seconds": seconds,
        **_measured(setup, measured, by_steps),
        "unimodal_log_prob": match,
        **({"energy_priors": about} if about else {}),
        **(_wrong_bits(measured) if setup.dataset.read_label else {}),
        "classifiers": classifiers.accuracy,
        "classifier_checkpoint": classifiers.checkpoint_id,
        "stage1_checkpoint": checkpoint_ids["joint"],
    }


def _describe(setup: Setup) -> dict[str, Any]:
    """What was evaluated, on what."""
    experiment = setup.experiment
    size = setup.dataset.splits["test"].size
    return {
        "dataset": setup.dataset.name,
        "method": experiment.method,
        "protocol": protocol_name(experiment.evaluation, experiment.sampler, size),
        "seeds": [experiment.training["joint"].seed],
        "num_tuples": experiment.evaluation.num_tuples or size,
        "data": setup.dataset.record,
    }


def _measured(
    setup: Setup, measured: CoherenceReport, by_steps: dict[str, tuple[dict, dict]]
) -> dict[str, Any]:
    """What protocol v1 measured, as the schema names it; and energies by steps."""
    of_energies = {
        "joint_by_steps": {name: shares for name, (shares, _) in by_steps.items()},
        "joint_entropy_by_steps": {name: nats for name, (_, nats) in by_steps.items()},
    }
    return {
        "coherence": {
            "conditional": measured.table.macro,
            "conditional_micro": measured.table.micro,
            "num_subsets": measured.table.num_subsets,
            "joint": measured.joint,
            "joint_entropy": measured.joint_entropy,
            "ceiling": measured.ceiling,
            **(of_energies if by_steps else {}),
        },
        "subset_coherence": {
            "+".join(subset): {t: a.macro for t, a in targets.items()}
            for subset, targets in measured.accuracies.items()
        },
        "sampler": {
            "settings": dataclasses.asdict(setup.experiment.sampler),
            **measured.sampler,
        }
        if measured.sampler["subsets"]
        else {},
    }


def _wrong_bits(measured: CoherenceReport) -> dict[str, Any]:
    """{m: share of what is generated from m that shows another label than m}."""
    return {
        "wrong_bit": {
            subset[0]: 1 - sum(a.micro for a in targets.values()) / len(targets)
            for subset, targets in measured.accuracies.items()
            if len(subset) == 1
        }
    }


def write_pictures(
    setup: Setup, params: dict[str, Params], directory: Path
) -> list[Path]:
    """Sample grids, from each modality, all but each, and each prior; and energies."""
    inference = setup.method.inference
    names = inference.modalities
    sizes = sorted({1, len(names) - 1})
    written = []
    for subset in [s for k in sizes for s in coherence.subsets(names, size=k)]:
        # As many data as the protocol takes at once: its compiled programs serve.
        size = setup.experiment.evaluation.batch_size
        grid = draw_conditional(
            setup, params, subset, size, seed=0, num_shown=NUM_PICTURED
        )
        path = Path(directory) / f"given_{'+'.join(subset)}.png"
        written.append(pictures.save_png(path, grid))
    for name in inference.prior_names:
        own = name == inference.prior_names[0]
        grid = draw_unconditional(setup, params, 2 * NUM_PICTURED, seed=0, prior=name)
        path = Path(directory) / f"unconditional{'' if own else f'_{name}'}.png"
        written.append(pictures.save_png(path, grid))
    for name in energy_report.energy_priors(inference, params):
        plot = energy_report.picture(setup, params, name)
        path = Path(directory) / f"energy_of_{name}.png"
        written.append(pictures.save_png(path, plot))
    return written


def draw_conditional(
    setup: Setup,
    params: dict[str, Params],
    subset: tuple[str, ...],
    num: int,
    seed: int,
    num_shown: int | None = None,
) -> pictures.Picture:
    """The first ``num`` test tuples: what is given, and what is generated from it."""
    test, inference = setup.dataset.splits["test"], setup.method.inference
    rows = test.rows(np.arange(num, dtype=np.int32) % test.size)
    views = jax.jit(setup.dataset.fetch)(test.arrays, rows)
    z, _ = inference.infer(params, jax.random.key(seed), views, subset)
    decoded = _decoded_means(setup.method.inference, params, z)
    targets = [m for m in inference.modalities if m not in subset]
    return pictures.conditional_grid(
        {m: views[m][:num_shown] for m in subset},
        {m: decoded[m][:num_shown] for m in targets or inference.modalities},
    )


def draw_unconditional(
    setup: Setup,
    params: dict[str, Params],
    num: int,
    seed: int,
    prior: str | None = None,
) -> pictures.Picture:
    """``num`` draws from a prior (the model's own if None), decoded everywhere."""
    inference = setup.method.inference
    z = inference.sample_prior(params, jax.random.key(seed), num, prior)
    return pictures.unconditional_grid(_decoded_means(inference, params, z))


@functools.partial(jax.jit, static_argnums=0)
def _decoded_means(
    inference: Inference, params: dict[str, Params], z: Any
) -> dict[str, jax.Array]:
    decoded = inference.decode(params, z)
    return {m: jnp.clip(p.mean(), 0, 1) for m, p in decoded.items()}
