"""Infers, samples and measures on a mesh of N devices; prints what it found as JSON.

JAX_NUM_CPU_DEVICES=8 python evaluate_on.py 8
"""

import functools
import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.data.dataset import Dataset, Presentation
from jnf_jax.evaluation.classifiers import Classifiers
from jnf_jax.evaluation.coherence import evaluate_coherence
from jnf_jax.evaluation.measures import (
    frechet,
    likelihood,
    posterior_match,
    representation,
)
from jnf_jax.evaluation.posterior import mean_unimodal_log_prob, posterior_gap
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.subject import HeldOut, Subject
from jnf_jax.methods.method import Inference
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.runtime import parallel, processes
from jnf_jax.sampling import ChainSettings
from jnf_jax.types import Params

SHAPES = {"a": (4, 4, 1), "b": (4, 4, 1), "c": (4, 4, 1)}
SETTINGS = ProtocolSettings(
    num_tuples=48, batch_size=24, num_prior_samples=24, num_diagnostic_data=4
)
MATCH = posterior_match.Settings(
    num_pairs=48,
    num_chain_data=8,
    num_chains=8,
    num_transitions=16,
    num_calibration_data=96,
    num_calibration_draws=15,
)
# Rounding, which devices do not share, grows from transition to transition: a step that
# a hundred of them adapt is another on eight devices, and so are all draws.
posterior_match.sampling.ChainSettings = functools.partial(
    ChainSettings, num_adaptation=4
)


class Measured(NamedTuple):
    """What is measured on: ``jnf_jax.evaluation.statistics`` take these three first."""

    inference: Inference
    params: dict[str, Params]
    held_out: HeldOut


def measured_on(num_devices: int) -> Measured:
    mesh = parallel.make_mesh(num_devices)
    mesh = parallel.dividing_mesh(mesh, SETTINGS.batch_size)
    method = build_method(
        "jnf",
        SHAPES,
        model=ModelSettings(
            latent_dim=3,
            joint_hidden_sizes=(8,),
            networks={"default": NetworkSettings("mlp", hidden_sizes=(8,))},
            likelihoods={"default": LikelihoodSettings()},
        ),
        flow=FlowSettings(hidden_sizes=(8,)),
        sampler=ChainSettings(num_transitions=4, num_adaptation=4),
    )
    params = {s.name: jax.jit(s.init)(jax.random.key(1)) for s in method.stages}
    images = np.random.default_rng(0).uniform(size=(48, 3, 4, 4, 1))
    params, arrays = parallel.put(
        (params, images.astype(np.float32)), parallel.replicated(mesh)
    )
    held_out = HeldOut(
        arrays,
        lambda images, rows: {m: images[rows, i] for i, m in enumerate(sorted(SHAPES))},
        48,
        np.arange(48) % 2,
        2,
        mesh=mesh,
    )
    return Measured(method.inference, params, held_out)


def chains_of(measured: Measured) -> dict[str, Any]:
    inference, params, held_out = measured
    views = held_out.views(np.arange(24, dtype=np.int32))
    key, subset = jax.random.key(2), ("a", "b")
    step_size = inference.adapt(params, key, views, subset)
    # Not the adapted one, which is long: chains stretch differences in rounding by it.
    z, info = inference.infer(params, key, views, subset, jnp.float32(0.1))
    return {
        "z": np.ravel(processes.to_host(z)).tolist(),
        "step_size": float(step_size),
        "acceptance": processes.to_host(info.acceptance).tolist(),
        "rows_of_z_on_first_device": z.addressable_shards[0].data.shape[0],
        "rows_of_views": [
            jnp.shape(x.addressable_shards[0].data)[0] for x in views.values()
        ],
    }


def predict(views):
    return {m: (x.mean((1, 2, 3)) > 0.5).astype(int) for m, x in views.items()}


def subject_of(measured: Measured) -> Subject:
    """Features are random projections of what is no picture.

    Pictures are rounded to 8 bit, which would make 1/255 of a difference of 1e-7.
    Probes are tested on what they were fitted to: not how good they are counts.
    """
    mesh = measured.held_out.mesh
    weights = np.random.default_rng(1).normal(size=(16, 4)).astype(np.float32)
    weights = parallel.put(weights, parallel.replicated(mesh))

    def project(weights, views):
        return {m: jnp.tanh(x.reshape(-1, 16) @ weights) for m, x in views.items()}

    shown = dict.fromkeys(SHAPES, Presentation())
    fetch = measured.held_out.fetch
    splits = {"train": measured.held_out}
    dataset = Dataset("tiny", SHAPES, splits, fetch, 2, {}, presentations=shown)
    return Subject(
        measured.inference,
        measured.params,
        dataset,
        measured.held_out,
        Classifiers(predict, jax.tree_util.Partial(project, weights), {}, "random"),
        SETTINGS,
    )


def split_into(work: Callable[[], Any]) -> tuple[Any, list[int]]:
    """What ``work`` finds; into how many parts the rows were split that it fetched."""
    parts, fetch = set(), processes.to_host

    def to_host(tree: Any) -> Any:
        arrays = [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array)]
        parts.update(len(x) // len(x.addressable_shards[0].data) for x in arrays)
        return fetch(tree)

    with mock.patch.object(processes, "to_host", to_host):
        return work(), sorted(parts)


def main() -> None:
    measured = measured_on(int(sys.argv[1]))
    subject = subject_of(measured)
    report, of_coherence = split_into(lambda: evaluate_coherence(subject))
    subject = subject._replace(draws=report.draws)
    asked = {
        likelihood: likelihood.Settings(8, 4, 0, 24, 64),
        frechet: frechet.Settings(),
        representation: representation.Settings(48, 48),
        posterior_match: MATCH,
    }
    measures = {
        measure.__name__.split(".")[-1]: split_into(
            lambda measure=measure, settings=settings: measure.measure(
                subject, settings
            )
        )
        for measure, settings in asked.items()
    }
    parts = {name: of_measure for name, (_, of_measure) in measures.items()}
    log_p, _ = measures.pop("likelihood")
    found = chains_of(measured) | {
        "log_probs": mean_unimodal_log_prob(subject),
        "gap": posterior_gap(subject)[0],
        "log_p": log_p["joint"]["log_prob"],
        "log_p_given": {s: c["a"] for s, c in log_p["conditional_by_subset"].items()},
        "conditional": report.table.micro,
        "joint": report.joint,
        "ceiling": report.ceiling,
        "measures": {name: of for name, (of, _) in measures.items()},
        "parts": parts | {"coherence": of_coherence},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
