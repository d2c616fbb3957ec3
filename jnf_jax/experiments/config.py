"""From a ConfigDict to frozen dataclasses; every fault is reported at once.

Sections: ``method``, ``seed``, ``num_seeds`` (read by ``train`` alone), ``stages``,
``data`` (``name``, ``placement`` and the fields of the set), ``model``, ``flow``,
``projectors``, ``sampler``, ``refinement``, ``experts``, ``fitted_prior``,
``denoiser``, ``optimizer`` and ``training`` (for every stage), one section a stage
(overriding both), ``init`` (checkpoints of stages not trained here), ``evaluation``
(``measures`` beside the protocol's, a section for each of them, ``classifier``).
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import ml_collections

from jnf_jax.data.placement import PLACEMENTS
from jnf_jax.data.registry import DATASETS
from jnf_jax.evaluation.measures import MEASURES, load
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.experiments.parsing import Faults, parse
from jnf_jax.methods.diffusion_decoder import STAGE as DIFFUSION_DECODER
from jnf_jax.methods.diffusion_decoder import DenoiserSettings
from jnf_jax.methods.product import Quotient, quotient_faults
from jnf_jax.methods.registry import STAGES
from jnf_jax.methods.settings import (
    ExpertSettings,
    FlowSettings,
    LikelihoodSettings,
    ModelSettings,
    ProjectorSettings,
)
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors.family import PriorFamily
from jnf_jax.priors.registry import FITTED_FAMILIES, PRIORS
from jnf_jax.sampling import ChainSettings
from jnf_jax.training.optimizers import TrainSettings


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A resolved, checked config.

    Attributes:
        method: Name of the method.
        seed: Of training: initialisation, order, noise.
        stages: Stages to train in this run.
        data_name: Name of the data set.
        data: Its settings dataclass.
        placement: Where its tuples are; a name in ``placement.PLACEMENTS``.
        model: Networks and likelihoods.
        flow: Unimodal posteriors.
        sampler: Chains on products of experts.
        quotient: What these products are divided by; also in ``sampler``.
        refinement: Chains through the decoders that start where those ended; None
            where ``refinement.num_transitions`` is 0.
        experts: Mixture of experts of MMVAE+.
        fitted_prior: Prior of the stage ``prior``, None without one.
        projectors: Those of "jnf_shared", None in other methods.
        denoiser: Of the stage "diffusion_decoder", None without the section.
        training: Stage -> TrainSettings, for every stage that has a section.
        init: Stage -> checkpoint directory, for stages that are read, not trained.
        evaluation: The protocol's settings.
        measures: Name in ``MEASURES`` -> settings, of those beside the protocol's.
        classifier: TrainSettings of the evaluation classifiers.
    """

    method: str
    seed: int
    stages: tuple[str, ...]
    data_name: str
    data: Any
    placement: str
    model: ModelSettings
    flow: FlowSettings
    sampler: ChainSettings
    quotient: Quotient
    refinement: ChainSettings | None
    experts: ExpertSettings
    fitted_prior: PriorFamily | None
    projectors: ProjectorSettings | None
    denoiser: DenoiserSettings | None
    training: dict[str, TrainSettings]
    init: dict[str, str]
    evaluation: ProtocolSettings
    measures: dict[str, Any]
    classifier: TrainSettings


def resolve(config: ml_collections.ConfigDict) -> Experiment:
    """Checks a config and turns it into an ``Experiment``.

    Args:
        config: As ``get_config()`` of a file in ``configs/`` returns it, overridden or
            not.

    Raises:
        ValueError: With one line for every fault.
    """
    tree, faults = config.to_dict(), Faults()
    method = _known("method", tree.pop("method", None), STAGES)
    fitted = tree.pop("fitted_prior", {})
    fitted_prior = _parse_fitted_prior(fitted, faults)
    all_stages = STAGES[method] + _stages_behind(fitted, tree)
    data = tree.pop("data", {})
    data_name = _known("data.name", data.pop("name", None), DATASETS)
    placement = data.pop("placement", "auto")
    if placement not in PLACEMENTS:
        faults.append(
            f"`data.placement` is {placement!r}, expected one of {PLACEMENTS}"
        )
    data_settings = parse(DATASETS[data_name][0], data, "data.", faults)
    seed, _ = _integer(tree, "seed", 0, faults), _integer(tree, "num_seeds", 1, faults)
    stages = tuple(s for s in tree.pop("stages", ",".join(all_stages)).split(",") if s)
    init = {stage: path for stage, path in tree.pop("init", {}).items() if path}
    for field, names in (("stages=", stages), ("init.", init)):
        for stage in names:
            if stage not in all_stages:
                faults.unknown(field, stage, all_stages)

    shared = {"seed": seed, **tree.pop("optimizer", {}), **tree.pop("training", {})}
    evaluation, sampler = tree.pop("evaluation", {}), tree.pop("sampler", {})
    classifier = evaluation.pop("classifier", {})
    measures = _parse_measures(evaluation, faults)
    parts: dict[str, Any] = dict(
        method=method,
        seed=seed,
        stages=stages,
        data_name=data_name,
        data=data_settings,
        placement=placement,
        model=_parse_model(tree.pop("model", {}), faults),
        flow=parse(FlowSettings, tree.pop("flow", {}), "flow.", faults),
        quotient=_parse_quotient(sampler, faults),
        sampler=parse(ChainSettings, sampler, "sampler.", faults),
        refinement=_parse_refinement(tree.pop("refinement", {}), faults),
        experts=parse(ExpertSettings, tree.pop("experts", {}), "experts.", faults),
        fitted_prior=fitted_prior,
        projectors=_parse_projectors(method, tree, faults),
        denoiser=_parse_denoiser(tree, faults),
        training={
            stage: parse(
                TrainSettings, shared | tree.pop(stage, {}), f"{stage}.", faults
            )
            for stage in all_stages
        },
        init=init,
        evaluation=parse(ProtocolSettings, evaluation, "evaluation.", faults),
        measures=measures,
        classifier=parse(TrainSettings, classifier, "evaluation.classifier.", faults),
    )
    for name in tree:
        faults.unknown("", name, (*_SECTIONS, *all_stages))
    faults += _own_faults(parts)
    if faults:
        raise ValueError("\n".join(["the config has faults:", *faults]))
    return Experiment(**parts)


def _stages_behind(fitted: dict[str, Any], tree: dict[str, Any]) -> tuple[str, ...]:
    """Stages that sections of the config add to those of the method."""
    prior = ("prior",) if fitted.get("name") else ()
    return prior + ((DIFFUSION_DECODER,) if "denoiser" in tree else ())


def _known(field: str, name: Any, known: Iterable[str]) -> str:
    """A name that decides how the rest is read: where it is wrong, that ends here."""
    if name not in known:
        raise ValueError(f"`{field}` is {name!r}, expected one of {sorted(known)}")
    return name


def _integer(tree: dict[str, Any], name: str, least: int, faults: Faults) -> Any:
    """A field of the config itself; absent, it is the least that it may be."""
    value = tree.pop(name, least)
    if type(value) is not int or value < least:
        faults.append(f"`{name}` is {value!r}, expected an integer >= {least}")
    return value


def _parse_fitted_prior(section: dict[str, Any], faults: Faults) -> PriorFamily | None:
    """Its name "" is none."""
    if not section.get("name"):
        if set(section) - {"name"}:
            faults.append(
                f"`fitted_prior.name` is missing, expected one of "
                f"{sorted(FITTED_FAMILIES)}: {sorted(section)} are given"
            )
        return None
    name = _known("fitted_prior.name", section["name"], FITTED_FAMILIES)
    family = parse(FITTED_FAMILIES[name], section, "fitted_prior.", faults)
    if family:
        faults += family.faults("fitted_prior")
    return family


def _parse_projectors(
    method: str, tree: dict[str, Any], faults: Faults
) -> ProjectorSettings | None:
    """Of "jnf_shared" alone: elsewhere the section stays in the tree, unknown."""
    if method != "jnf_shared":
        return None
    section = tree.pop("projectors", {})
    return parse(ProjectorSettings, section, "projectors.", faults)


def _parse_denoiser(tree: dict[str, Any], faults: Faults) -> DenoiserSettings | None:
    """Without the section there is none."""
    if "denoiser" not in tree:
        return None
    return parse(DenoiserSettings, tree.pop("denoiser"), "denoiser.", faults)


def _parse_quotient(sampler: dict[str, Any], faults: Faults) -> Quotient | None:
    """Takes what is its own out of the section ``sampler``."""
    names = [f.name for f in dataclasses.fields(Quotient) if f.name in sampler]
    section = {name: sampler.pop(name) for name in names}
    return parse(Quotient, section, "sampler.", faults)


def _parse_refinement(section: dict[str, Any], faults: Faults) -> ChainSettings | None:
    """No transitions are no refinement; the other fields are checked all the same."""
    is_off = section.get("num_transitions", 0) == 0
    if is_off:
        section = section | {"num_transitions": 1}
    settings = parse(ChainSettings, section, "refinement.", faults)
    return None if is_off else settings


def _parse_measures(evaluation: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """Settings of those asked for; sections of the others are checked all the same."""
    asked = str(evaluation.pop("measures", "")).split(",")
    asked = [name for name in map(str.strip, asked) if name]
    for name in asked:
        if name not in MEASURES:
            faults.unknown("evaluation.measures=", name, MEASURES)
    parsed = {
        name: parse(
            load(name).Settings,
            evaluation.pop(name, {}),
            f"evaluation.{name}.",
            faults,
        )
        for name in MEASURES
    }
    for name, settings in parsed.items():
        faults += settings.faults(f"evaluation.{name}") if settings else []
    return {name: parsed[name] for name in asked if name in parsed}


def _parse_model(section: dict[str, Any], faults: Faults) -> ModelSettings | None:
    parts = {"networks": NetworkSettings, "likelihoods": LikelihoodSettings}
    for name, cls in parts.items():
        section[name] = {
            m: parse(cls, part, f"model.{name}.{m}.", faults)
            for m, part in section.get(name, {}).items()
        }
    prior = dict(section.get("prior", {"name": "normal"}))
    family = PRIORS[_known("model.prior.name", prior.get("name"), PRIORS)]
    # A family whose options could not be read is a fault already: not another here.
    section["prior"] = parse(family, prior, "model.prior.", faults) or family()
    return parse(ModelSettings, section, "model.", faults)


def _own_faults(parts: Mapping[str, Any]) -> list[str]:
    """What the settings say of themselves, for those that could be read at all."""
    training = {**parts["training"], "evaluation.classifier": parts["classifier"]}
    found = parts["model"].own_faults() if parts["model"] else []
    if not parts["stages"]:
        found.append("`stages` is empty, expected one or more, separated by commas")
    for name in ("data", "flow", "experts", "denoiser", "evaluation"):
        settings = parts[name]
        found += settings.faults() if settings else []
    for stage, settings in training.items():
        found += settings.faults(f"{stage}.") if settings else []
    if (projectors := parts["projectors"]) is not None:
        shared = parts["training"]["shared"]
        found += projectors.faults()
        if shared:
            said = f"`shared.batch_size` is {shared.batch_size}"
            found += projectors.batch_faults(shared.batch_size, said)
    if DIFFUSION_DECODER in parts["measures"] and (
        DIFFUSION_DECODER not in parts["training"]
    ):
        found.append(
            f"`evaluation.measures` has {DIFFUSION_DECODER!r}, expected a section "
            "`denoiser` with it"
        )
    return found + _prior_faults(parts)


def _prior_faults(parts: Mapping[str, Any]) -> list[str]:
    """How priors may be trained and divided by, where their settings could be read."""
    own = parts["model"].prior if parts["model"] else None
    learnt = {"joint": own, "prior": parts["fitted_prior"]}
    found = []
    if own and parts["sampler"] and parts["quotient"]:
        chosen = (parts["quotient"], own, parts["fitted_prior"])
        found += quotient_faults(*chosen, parts["sampler"].kernel)
    for stage, settings in parts["training"].items():
        family = learnt.get(stage)
        apart = family and family.learns_apart
        if settings and apart and settings.select == "best":
            found.append(
                f"`{stage}.select` is 'best', expected 'last': the loss of an energy "
                "is no bound that the best parameters could be told by"
            )
        if settings and stage == "prior" and family and family.fit:
            found += settings.faults_of_fit("prior.")
        has_prior = stage == "joint" and family and family.is_learnt
        for field, without in (("prior_rate_factor", 1), ("prior_start_step", 0)):
            if settings and getattr(settings, field) != without and not has_prior:
                found.append(
                    f"`{stage}.{field}` is {getattr(settings, field)}, expected "
                    f"{without}: only 'joint' with a learnt `model.prior` has another"
                )
    return found


_SECTIONS = (
    "data",
    "denoiser",
    "evaluation",
    "experts",
    "fitted_prior",
    "flow",
    "init",
    "method",
    "model",
    "num_seeds",
    "optimizer",
    "projectors",
    "refinement",
    "sampler",
    "seed",
    "stages",
    "training",
)
