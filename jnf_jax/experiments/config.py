"""From a ConfigDict to frozen dataclasses; every fault is reported at once.

``options.py`` says which dataclass declares the fields of which section. A stage is
trained as ``optimizer`` and ``training`` say, but for what its own section sets; what
no section sets is at the default of its declaration.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections

from jnf_jax.data.placement import Placement
from jnf_jax.data.registry import DATASETS
from jnf_jax.evaluation.measures import MEASURES, load
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.experiments.options import (
    IN_EVERY_CONFIG,
    SECTIONS,
    MeasureOptions,
    RunOptions,
)
from jnf_jax.experiments.options import STAGES as ALL_STAGES
from jnf_jax.methods.amortised import POSTERIORS
from jnf_jax.methods.decoder_posterior import Reweighting
from jnf_jax.methods.diffusion_decoder import STAGE as DIFFUSION_DECODER
from jnf_jax.methods.diffusion_decoder import DenoiserSettings
from jnf_jax.methods.product import Quotient, quotient_faults
from jnf_jax.methods.registry import METHODS, OWN_SECTIONS, STAGES, stages_of
from jnf_jax.methods.settings import (
    FlowSettings,
    LikelihoodSettings,
    ModelSettings,
)
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.options import among, check, kinds, names, read, unknown
from jnf_jax.priors.family import PriorFamily
from jnf_jax.priors.normal import NormalFamily
from jnf_jax.priors.registry import FITTED_FAMILIES, PRIORS
from jnf_jax.sampling import ChainSettings
from jnf_jax.training.optimizers import TrainSettings


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A resolved, checked config: the settings of its sections, by their names.

    Attributes:
        stages: Stages to train in this run.
        quotient: The divisor of products of experts; in the section ``sampler``.
        refinement: How draws given subsets are refined: chains through the decoders
            that start where those of ``sampler`` ended, or weights; None where chains
            are to be of no transitions.
        sections: Name -> settings, of the sections that methods have of their own.
        fitted_prior: Prior of the stage ``prior``, None without one.
        denoiser: Of the stage "diffusion_decoder", None without the section.
        training: Stage -> settings, for every stage of the method.
        init: Stage -> checkpoint directory, for stages that are read, not trained.
        measures: Name in ``MEASURES`` -> settings, of those beside the protocol's.
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
    refinement: ChainSettings | Reweighting | None
    sections: dict[str, Any]
    fitted_prior: PriorFamily | None
    denoiser: DenoiserSettings | None
    training: dict[str, TrainSettings]
    init: dict[str, str]
    evaluation: ProtocolSettings
    measures: dict[str, Any]
    classifier: TrainSettings


FAULTY = "the config has faults:"
"""The line above several of them."""


class _Reader:
    """Takes sections out of a config's tree and collects what is wrong with them."""

    def __init__(self, tree: dict[str, Any]):
        self.tree, self.faults = tree, []

    def section(self, field: str) -> dict[str, Any]:
        """Takes a section out of the tree; {} where it is not there, or is none."""
        *above, last = field.split(".")
        parent = self.tree
        for name in above:
            parent = parent.get(name, {})
        found = parent.pop(last, {})
        if isinstance(found, dict):
            return found
        self.faults.append(f"`{field}` is {found!r}, expected a section")
        return {}

    def read(
        self, cls: type, field: str, section: Mapping[str, Any] | None = None
    ) -> Any:
        """The settings that a section says; None where they cannot be told."""
        section = self.section(field) if section is None else section
        settings, faults = read(cls, section, field)
        self.faults += faults
        return settings

    def share(self, cls: type, field: str, section: dict[str, Any]) -> Any:
        """Likewise, of a section whose other fields are of other classes."""
        own = {name: section.pop(name) for name in kinds(cls) if name in section}
        return self.read(cls, field, own)

    def named(
        self, field: str, section: Mapping[str, Any], known: Mapping[str, Any]
    ) -> str | None:
        """The name that decides a section's other fields; None if it is unknown."""
        name = section.get("name")
        if name in known:
            return name
        self.faults.append(f"`{field}.name` is {name!r}, expected {among(name, known)}")
        return None


def resolve(config: ml_collections.ConfigDict) -> Experiment:
    """Checks a config, as ``get_config()`` returns it, overridden or not.

    Raises:
        ValueError: With one line for every fault.
    """
    tree = config.to_dict()
    reader = _Reader(tree)
    method = tree.get("method")
    if method not in STAGES:
        # Nobody knows how the rest would have to be read.
        raise ValueError(f"`method` is {method!r}, expected {among(method, STAGES)}")
    fitted_prior = _read_fitted_prior(reader)
    inferred_by = tree.get("subset_posterior", {})
    all_stages = stages_of(
        method, inferred_by.get("name", "") if isinstance(inferred_by, dict) else ""
    )
    all_stages += ("prior",) if fitted_prior else ()
    all_stages += (DIFFUSION_DECODER,) if "denoiser" in tree else ()
    tree.setdefault("stages", ",".join(all_stages))
    run = reader.share(RunOptions, "", tree) or RunOptions()
    sampler = reader.section("sampler")
    classifier = reader.section("evaluation.classifier")
    measures = _read_measures(reader)
    parts: dict[str, Any] = dict(
        method=method,
        seed=run.seed,
        stages=names(run.stages),
        **_read_data(reader),
        model=_read_model(reader),
        flow=reader.read(FlowSettings, "flow"),
        quotient=reader.share(Quotient, "sampler", sampler),
        sampler=reader.read(ChainSettings, "sampler", sampler),
        refinement=_read_refinement(reader),
        # This method's, and those of others that every config has.
        sections={
            name: reader.read(cls, name)
            for name, cls in OWN_SECTIONS.items()
            if name in METHODS[method].SECTIONS or name in IN_EVERY_CONFIG
        },
        fitted_prior=fitted_prior,
        training=_read_training(reader, method, all_stages, run.seed),
        init={stage: path for stage, path in reader.section("init").items() if path},
        measures=measures,
        evaluation=reader.read(ProtocolSettings, "evaluation"),
        classifier=reader.read(TrainSettings, "evaluation.classifier", classifier),
        denoiser=(
            reader.read(DenoiserSettings, "denoiser") if "denoiser" in tree else None
        ),
    )
    faults = reader.faults + _unknown_sections(tree, method, all_stages)
    faults += _cross_faults(parts)
    if faults:
        told = [*dict.fromkeys(faults)]
        raise ValueError("\n".join(told if len(told) == 1 else [FAULTY, *told]))
    return Experiment(**parts)


def _unknown_sections(
    tree: dict[str, Any], method: str, stages: tuple[str, ...]
) -> list[str]:
    """A line for each section that nothing has taken out of the tree."""
    owners = {name: m for m, module in METHODS.items() for name in module.SECTIONS}
    known = [s for s in SECTIONS if s and "." not in s and s not in ALL_STAGES]
    known += [*kinds(RunOptions), "data", "fitted_prior", "init", *stages]
    return [
        f"`{name}` is a section of {owners[name]!r}, got `method` {method!r}"
        if name in owners
        else unknown(name, sorted(known))
        for name in tree
    ]


def _read_data(reader: _Reader) -> dict[str, Any]:
    """The name of the data set, its settings, and where its tuples are."""
    section = reader.section("data")
    placement = reader.share(Placement, "data", section) or Placement()
    name = reader.named("data", section, DATASETS)
    section.pop("name", None)
    return {
        "data_name": name,
        "data": name and reader.read(DATASETS[name][0], "data", section),
        "placement": placement.placement,
    }


def _read_training(
    reader: _Reader, method: str, stages: tuple[str, ...], seed: int
) -> dict[str, TrainSettings | None]:
    """Each stage's section over ``training`` over ``optimizer``."""
    shared: dict[str, Any] = {"seed": seed}
    for name in ("optimizer", "training"):
        # Told of once, here, and left out of the stages, which all inherit it.
        good, faults = check(TrainSettings, reader.section(name), name)
        shared |= good
        reader.faults += faults
    settings = {
        stage: reader.read(TrainSettings, stage, shared | reader.section(stage))
        for stage in stages
    }
    # A config may say how it would train what the other posterior of subsets needs.
    possible = {s for name in POSTERIORS for s in stages_of(method, name)}
    for stage in sorted(possible - set(stages)):
        if stage in reader.tree:
            reader.read(TrainSettings, stage, shared | reader.section(stage))
    return settings


def _read_fitted_prior(reader: _Reader) -> PriorFamily | None:
    """Its name "" is none."""
    section = reader.section("fitted_prior")
    if set(section) <= {"name"} and not section.get("name"):
        return None
    name = reader.named("fitted_prior", section, FITTED_FAMILIES)
    return name and reader.read(FITTED_FAMILIES[name], "fitted_prior", section)


def _read_refinement(reader: _Reader) -> ChainSettings | Reweighting | None:
    """Chains of no transitions are no refinement; other fields are checked anyway."""
    section = reader.section("refinement")
    weights = reader.share(Reweighting, "refinement", section)
    is_off = section.get("num_transitions", 0) == 0
    section |= {"num_transitions": 1} if is_off else {}
    settings = reader.read(ChainSettings, "refinement", section)
    if weights and weights.refine != "chains":
        return weights
    return None if is_off else settings


def _read_measures(reader: _Reader) -> dict[str, Any]:
    """Settings of those asked for; sections of the others are checked all the same."""
    sections = {name: reader.section(f"evaluation.{name}") for name in MEASURES}
    evaluation = reader.tree.get("evaluation", {})
    options = reader.share(MeasureOptions, "evaluation", evaluation)
    asked = names(options.measures) if options else ()
    reader.faults += [
        f"`evaluation.measures` has {name!r}, expected {among(name, MEASURES)}"
        for name in asked
        if name not in MEASURES
    ]
    read = {
        name: reader.read(load(name).Settings, f"evaluation.{name}", section)
        for name, section in sections.items()
    }
    return {name: read[name] for name in asked if name in read}


def _read_model(reader: _Reader) -> ModelSettings | None:
    parts: dict[str, Any] = {"networks": {}, "likelihoods": {}}
    for name, cls in zip(parts, (NetworkSettings, LikelihoodSettings), strict=True):
        for m, section in reader.section(f"model.{name}").items():
            if settings := reader.read(cls, f"model.{name}.{m}", section):
                parts[name][m] = settings
    section = reader.section("model.prior") or {"name": "normal"}
    name = reader.named("model.prior", section, PRIORS)
    # A family that could not be read is a fault already: not another here.
    prior = name and reader.read(PRIORS[name], "model.prior", section)
    parts["prior"] = prior or (PRIORS[name]() if name else NormalFamily())
    return reader.read(ModelSettings, "model", reader.section("model") | parts)


def _cross_faults(parts: Mapping[str, Any]) -> list[str]:
    """Faults between sections, of those that could be read at all."""
    found, all_stages = [], [*parts["training"]]
    if not parts["stages"]:
        found.append("`stages` is empty, expected one or more, separated by commas")
    for stage in parts["stages"]:
        if stage not in all_stages:
            found.append(f"`stages` has {stage!r}, expected {among(stage, all_stages)}")
    for stage in parts["init"]:
        if stage not in all_stages:
            found.append(unknown(f"init.{stage}", all_stages))
    inferred_by = parts["sections"].get("subset_posterior")
    if inferred_by and inferred_by.name == "amortised":
        able = [n for n, m in METHODS.items() if "subset_posterior" in m.SECTIONS]
        if parts["method"] not in able:
            found.append(
                "`subset_posterior.name` is 'amortised', expected 'product' with "
                f"method {parts['method']!r}: only {able} have the other"
            )
    projectors = parts["sections"].get("projectors")
    if projectors and (shared := parts["training"]["shared"]):
        said = f"`shared.batch_size` is {shared.batch_size}"
        found += projectors.batch_faults(shared.batch_size, said)
    if DIFFUSION_DECODER in parts["measures"] and DIFFUSION_DECODER not in all_stages:
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
            found += settings.faults_of_fit("prior")
        has_prior = stage == "joint" and family and family.is_learnt
        for field, without in (("prior_rate_factor", 1), ("prior_start_step", 0)):
            if settings and getattr(settings, field) != without and not has_prior:
                found.append(
                    f"`{stage}.{field}` is {getattr(settings, field)}, expected "
                    f"{without}: only 'joint' with a learnt `model.prior` has another"
                )
    return found
