"""From a ConfigDict to frozen dataclasses; every fault is reported at once.

Sections: ``method``, ``seed``, ``stages``, ``data``, ``model``, ``flow``, ``sampler``,
``optimizer`` and ``training`` (for every stage), one section a stage (overriding these),
``init`` (checkpoints of stages that are not trained here), ``evaluation``.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any

import ml_collections

from jnf_jax.data.registry import DATASETS
from jnf_jax.methods.registry import METHODS
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.metrics.protocol import ProtocolSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.optimizers import TrainSettings
from jnf_jax.sampling import ChainSettings

STAGES = {"jnf": ("joint", "unimodal"), "jmvae": ("joint",)}
"""The stages of each method, in the order of training."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A resolved, checked config.

    Attributes:
        method: Name of the method.
        seed: Of training: initialisation, order, noise.
        stages: Stages to train in this run.
        data_name: Name of the data set.
        data: Its settings dataclass.
        model: Networks and likelihoods.
        flow: Unimodal posteriors.
        sampler: Chains on subset posteriors.
        training: Stage -> TrainSettings, for every stage that has a section.
        init: Stage -> checkpoint directory, for stages that are read, not trained.
        evaluation: The protocol's settings.
        classifier: TrainSettings of the evaluation classifiers.
        workers: Devices in the mesh; 0 is all.
    """

    method: str
    seed: int
    stages: tuple[str, ...]
    data_name: str
    data: Any
    model: ModelSettings
    flow: FlowSettings
    sampler: ChainSettings
    training: dict[str, TrainSettings]
    init: dict[str, str]
    evaluation: ProtocolSettings
    classifier: TrainSettings


class _Faults(list):
    """Collects what is wrong, so that one run of the program tells all of it."""

    def unknown(self, path: str, name: str, known: typing.Iterable[str]) -> None:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        self.append(f"`{path}{name}` is unknown, expected one of {sorted(known)}.{hint}")


def resolve(config: ml_collections.ConfigDict) -> Experiment:
    """Checks a config and turns it into an ``Experiment``.

    Args:
        config: As ``get_config()`` of a file in ``configs/`` returns it, overridden or
            not.

    Raises:
        ValueError: With one line for every fault.
    """
    tree, faults = config.to_dict(), _Faults()
    method = tree.pop("method", None)
    if method not in METHODS:
        raise ValueError(f"`method` is {method!r}, expected one of {list(METHODS)}")
    known_stages = STAGES[method]
    data = tree.pop("data", {})
    data_name = data.pop("name", None)
    if data_name not in DATASETS:
        raise ValueError(f"`data.name` is {data_name!r}, expected one of {list(DATASETS)}")
    data_settings = _parse(DATASETS[data_name][0], data, "data.", faults)

    seed = tree.pop("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        faults.append(f"`seed` is {seed!r}, expected an integer >= 0")
    stages = tuple(s for s in tree.pop("stages", ",".join(known_stages)).split(",") if s)
    for stage in stages:
        if stage not in known_stages:
            faults.unknown("stages=", stage, known_stages)
    init = tree.pop("init", {})
    for stage in sorted(set(init) - set(known_stages)):
        faults.unknown("init.", stage, known_stages)

    model = tree.pop("model", {})
    for name, cls in (("networks", NetworkSettings), ("likelihoods", LikelihoodSettings)):
        model[name] = {
            m: _parse(cls, section, f"model.{name}.{m}.", faults)
            for m, section in model.get(name, {}).items()
        }
    model = _parse(ModelSettings, model, "model.", faults)
    flow = _parse(FlowSettings, tree.pop("flow", {}), "flow.", faults)
    sampler = _parse(ChainSettings, tree.pop("sampler", {}), "sampler.", faults)

    shared = tree.pop("optimizer", {}) | tree.pop("training", {})
    evaluation = tree.pop("evaluation", {})
    classifier = evaluation.pop("classifier", {})
    training = {
        stage: _train_settings(shared, tree.pop(stage, {}), seed, f"{stage}.", faults)
        for stage in known_stages
    }
    protocol = _parse(ProtocolSettings, evaluation, "evaluation.", faults)
    classifier = _train_settings({}, classifier, 0, "evaluation.classifier.", faults)
    for name in tree:
        faults.unknown("", name, (*_SECTIONS, *known_stages))
    if not faults:
        faults += data_settings.faults() + flow.faults() + protocol.faults()
    if faults:
        raise ValueError("\n".join(["The config has faults:", *faults]))
    return Experiment(
        method,
        seed,
        stages,
        data_name,
        data_settings,
        model,
        flow,
        sampler,
        training,
        {stage: path for stage, path in init.items() if path},
        protocol,
        classifier,
    )


_SECTIONS = (
    "data",
    "evaluation",
    "flow",
    "init",
    "method",
    "model",
    "optimizer",
    "sampler",
    "seed",
    "stages",
    "training",
)


def identity(config: ml_collections.ConfigDict, stage: str) -> dict[str, Any]:
    """What of a config decides the parameters that ``stage`` ends with; JSON-able.

    A checkpoint is resumed only by a run of the same identity, and a stage's
    parameters are read only by a run whose ``data`` and ``model`` equal its own.
    """
    tree = config.to_dict()
    stages = STAGES[tree["method"]]
    sections = ["method", "seed", "data", "model"]
    if stage != "joint" or tree["method"] == "jmvae":
        sections.append("flow")
    kept = {name: tree.get(name) for name in sections}
    if stage != stages[0]:
        kept["init"] = tree.get("init")
    return kept


def _train_settings(
    shared: Mapping[str, Any],
    section: Mapping[str, Any],
    seed: int,
    path: str,
    faults: _Faults,
) -> TrainSettings | None:
    settings = _parse(TrainSettings, {"seed": seed, **shared, **section}, path, faults)
    if settings is not None:
        faults += [f"`{fault}`" for fault in settings.faults(path)]
    return settings


def _parse(cls: type, section: Mapping[str, Any], path: str, faults: _Faults) -> Any:
    """``cls(**section)``; lists become tuples; None and a fault where that fails."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    before = len(faults)
    values = {}
    for name, value in section.items():
        if name not in fields:
            faults.unknown(path, name, fields)
            continue
        value = tuple(value) if isinstance(value, list) else value
        if isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if hints[name] is float else value
        expected = typing.get_origin(hints[name]) or hints[name]
        if isinstance(expected, types.UnionType | type) and not isinstance(
            value, expected
        ):
            faults.append(
                f"`{path}{name}` is {value!r} ({type(value).__name__}), expected "
                f"{expected.__name__}"
            )
        values[name] = value
    missing = [
        name
        for name, field in fields.items()
        if name not in section
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    faults += [f"`{path}{name}` is missing" for name in missing]
    if len(faults) > before:
        return None
    try:
        return cls(**values)
    except ValueError as error:
        faults.append(f"`{path.rstrip('.')}`: {error}")
        return None
