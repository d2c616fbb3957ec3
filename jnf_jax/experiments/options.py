"""Where the options of a config are declared, read without importing jax.

A section of a config holds the fields of the dataclass that it configures. Those files
import jax, and a config file should not: their declarations are read from the source,
in which every default is a literal. ``base()`` is what configs start from, and
``override`` sets what a command line, a sweep or a caller wants otherwise.
"""

import ast
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections

from jnf_jax.evaluation.measures import MEASURES
from jnf_jax.options import REQUIRED, option
from jnf_jax.priors.registry import FAMILIES

STAGES = (
    *("shared", "autoencoders", "joint", "unimodal", "subsets", "prior"),
    "diffusion_decoder",
)
"""Every stage of any method; each may have a section of its own."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """The fields of a config that belong to no section."""

    method: str = option("jnf", "Name of the method, see `methods.registry`.")
    seed: int = option(0, "Seed of training: initialisation, order, noise.", at_least=0)
    num_seeds: int = option(
        1, "Seeds that `train` trains, from `seed` upwards.", at_least=1
    )
    stages: str = option(
        "joint,unimodal", "Stages to train in this run, separated by commas."
    )


@dataclasses.dataclass(frozen=True)
class MeasureOptions:
    """The measures of an evaluation beside its protocol."""

    measures: str = option(
        "", "Names of measures, separated by commas, see `evaluation.measures`."
    )


_TRAINING = "jnf_jax.training.optimizers:TrainSettings"
_CHAINS = "jnf_jax.sampling.chain_settings:ChainSettings"

SECTIONS = {
    "": ("jnf_jax.experiments.options:RunOptions",),
    "flow": ("jnf_jax.methods.settings:FlowSettings",),
    "subset_posterior": ("jnf_jax.methods.amortised:SubsetPosteriorSettings",),
    "sampler": (_CHAINS, "jnf_jax.methods.product:Quotient"),
    "refinement": (_CHAINS, "jnf_jax.methods.decoder_posterior:Reweighting"),
    "experts": ("jnf_jax.methods.mmvae_plus:ExpertSettings",),
    "optimizer": (_TRAINING,),
    "training": (_TRAINING,),
    "evaluation": (
        "jnf_jax.evaluation.protocol:ProtocolSettings",
        "jnf_jax.experiments.options:MeasureOptions",
    ),
    **{
        f"evaluation.{name}": (f"{module}:Settings",)
        for name, module in MEASURES.items()
    },
    "evaluation.classifier": (_TRAINING,),
    # From here on they are in a config only where it has them.
    "model": ("jnf_jax.methods.settings:ModelSettings",),
    "model.networks.*": ("jnf_jax.networks.build:NetworkSettings",),
    "model.likelihoods.*": ("jnf_jax.methods.settings:LikelihoodSettings",),
    "projectors": ("jnf_jax.methods.jnf_shared:ProjectorSettings",),
    "mld": ("jnf_jax.methods.mld:MldSettings",),
    "mmvae": ("jnf_jax.methods.mmvae:MmvaeSettings",),
    "mvae": ("jnf_jax.methods.mvae:MvaeSettings",),
    "mvtcae": ("jnf_jax.methods.mvtcae:MvtcaeSettings",),
    "denoiser": ("jnf_jax.methods.diffusion_decoder:DenoiserSettings",),
} | dict.fromkeys(STAGES, (_TRAINING,))
"""Section of a config -> the dataclasses whose fields it may have."""

IN_EVERY_CONFIG = [*SECTIONS][: [*SECTIONS].index("model")]
"""Sections that configs start with, whatever their method."""


def _parsed(module: str) -> ast.Module:
    path = Path(__file__).parents[1].joinpath(*module.split(".")[1:])
    return ast.parse(path.with_suffix(".py").read_text(encoding="utf-8"))


def _names(module: str) -> tuple[str, ...]:
    """The literal ``NAMES`` of a registry."""
    return next(
        ast.literal_eval(node.value)
        for node in _parsed(module).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "NAMES"
    )


DATA = {
    name: (f"jnf_jax.data.{name}:Settings", "jnf_jax.data.placement:Placement")
    for name in _names("jnf_jax.data.registry")
}

PRIORS = {name: (place,) for name, place in FAMILIES.items()}

NAMED = {"data": DATA, "model.prior": PRIORS, "fitted_prior": PRIORS}
"""Section whose ``name`` decides its fields -> name -> dataclasses."""

_OF_OPTIMIZER = (
    *("optimizer", "learning_rate", "schedule", "warmup_steps", "b1", "b2"),
    *("gradient_clip", "ema_decay", "plateau_patience_epochs", "plateau_factor"),
    *("weight_decay", "decay_by_inputs", "prior_rate_factor", "prior_start_step"),
)
_OF_STAGE = ("num_steps", "batch_size", "seed")

_DEFAULTS = {
    # Nothing is refined unless a config says so.
    "refinement": {"num_transitions": 0},
    "evaluation.classifier": {"num_steps": 4_000, "batch_size": 64, "select": "last"},
}
"""Defaults of a section where they are not those of its dataclass."""


class Declared(NamedTuple):
    """An option as its dataclass declares it; ``kind`` is its type, as "float"."""

    kind: str
    default: Any
    help: str


@functools.cache
def declared(place: str) -> dict[str, Declared]:
    """The options of "module:Class", read from its source; nothing is imported.

    >>> declared("jnf_jax.methods.settings:FlowSettings")["num_blocks"].default
    2
    """
    module, name = place.split(":")
    found = {}
    for cls in _parsed(module).body:
        if not isinstance(cls, ast.ClassDef) or cls.name != name:
            continue
        for field in cls.body:
            call = getattr(field, "value", None)
            if not isinstance(call, ast.Call):
                continue
            if getattr(call.func, "id", "") == "option":
                default, told = call.args
                is_required = isinstance(default, ast.Name)
                found[field.target.id] = Declared(
                    ast.unparse(field.annotation),
                    REQUIRED if is_required else ast.literal_eval(default),
                    ast.literal_eval(told),
                )
    return found


def base() -> ml_collections.ConfigDict:
    """The fields that all configs have; ``data``, ``model``, the stages are their own.

    Every section holds all of its options at their defaults and is locked: a name that
    is none of them is an error where it is set.
    """
    config = ml_collections.ConfigDict(_defaults(""))
    config.init = dict.fromkeys(STAGES, "")
    config.fitted_prior = {"name": ""}
    for section in IN_EVERY_CONFIG[1:]:
        *above, name = section.split(".")
        parent = config[above[0]] if above else config
        parent[name] = _defaults(section)
    for name in config:
        if isinstance(config[name], ml_collections.ConfigDict):
            config[name].lock()
    return config


def _defaults(section: str) -> dict[str, Any]:
    options = {name: of.default for name, of in _join(SECTIONS[section]).items()}
    if section == "optimizer":
        return {name: options[name] for name in _OF_OPTIMIZER}
    if section == "training":
        return {n: v for n, v in options.items() if n not in _OF_OPTIMIZER + _OF_STAGE}
    return options | _DEFAULTS.get(section, {})


def options_of(
    section: str, config: ml_collections.ConfigDict | None = None
) -> dict[str, Declared]:
    """The options of a section by its dotted name; {} of one that nobody declares.

    ``config`` says by its names which data set and which priors are asked for.
    """
    above, _, last = section.rpartition(".")
    if section == "init":
        return {stage: Declared("str", "", "") for stage in STAGES}
    if section in NAMED:
        name: Any = config
        for key in f"{section}.name".split("."):
            name = name.get(key) if hasattr(name, "get") else None
        return {"name": Declared("str", "", "")} | _join(NAMED[section].get(name, ()))
    if f"{above}.*" in SECTIONS:
        return _join(SECTIONS[f"{above}.*"])
    return _join(SECTIONS.get(section, ()))


def _join(places: tuple[str, ...]) -> dict[str, Declared]:
    return {name: option for p in places for name, option in declared(p).items()}


def override(config: ml_collections.ConfigDict, changes: Mapping[str, Any]) -> None:
    """Sets fields of a config in place; ``resolve`` says what is wrong with them.

    ``changes`` are as {"joint.learning_rate": 1e-4}. Text becomes a value of the
    declared type, as from a command line; one that nobody declares is a literal, or
    stays text.

    Raises:
        ValueError: A field has no fields of its own.
    """
    # The names of a data set and of priors say how the rest is read.
    for path in sorted(changes, key=lambda path: not path.endswith("name")):
        *above, last = path.split(".")
        with config.unlocked(), config.ignore_type():
            section = config
            for i, name in enumerate(above):
                if name not in section:
                    section[name] = ml_collections.ConfigDict()
                section = section[name]
                if not isinstance(section, ml_collections.ConfigDict):
                    field = ".".join(above[: i + 1])
                    raise ValueError(
                        f"`{path}` is unknown: `{field}` is {section!r}, no section"
                    )
            value = changes[path]
            if isinstance(value, str):
                known = options_of(".".join(above), config)
                value = _parse(value, known[last].kind if last in known else None)
            section[last] = value


def _parse(text: str, kind: str | None) -> Any:
    """A value of that kind; the text itself where it is none."""
    if kind == "str":
        return text
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return float(text) if kind == "float" else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
