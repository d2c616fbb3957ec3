"""What configs may set is what the dataclasses declare, field by field."""

import dataclasses
import importlib
import json
import subprocess
import sys
import typing

import ml_collections
import pytest
from tiny import tiny_config

from jnf_jax.configs import peers
from jnf_jax.configs.digits import jnf_paper as digits_jnf
from jnf_jax.data import DATASETS
from jnf_jax.evaluation.measures import MEASURES
from jnf_jax.experiments import options
from jnf_jax.experiments.config import resolve
from jnf_jax.methods import registry as methods
from jnf_jax.methods.amortised import POSTERIORS
from jnf_jax.options import REQUIRED, faults
from jnf_jax.priors.registry import FITTED_FAMILIES, PRIORS

PLACES = {place for places in options.SECTIONS.values() for place in places} | {
    place
    for named in options.NAMED.values()
    for places in named.values()
    for place in places
}


def load(place):
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("place", sorted(PLACES))
def test_what_is_read_from_the_source_is_what_the_dataclass_has(place):
    cls, hints = load(place), typing.get_type_hints(load(place))
    read, own = options.declared(place), {f.name: f for f in dataclasses.fields(cls)}
    # Mappings of other settings are sections; a family is told by its name.
    is_model = cls.__name__ == "ModelSettings"
    sections = {"networks", "likelihoods", "prior"} if is_model else set()
    names = {"name"} if "name" in own and "help" not in own["name"].metadata else set()
    assert set(read) == set(own) - sections - names
    for name, option in read.items():
        kind = hints[name]
        assert option.kind == (kind.__name__ if isinstance(kind, type) else str(kind))
        assert option.default == own[name].default
        assert option.help == own[name].metadata["help"] and option.help.endswith(
            (".", "…")
        )
    if all(option.default is not REQUIRED for option in read.values()):
        assert not faults(cls())


def test_every_settings_class_of_a_registry_is_in_a_section():
    assert {name: load(places[0]) for name, places in options.DATA.items()} == {
        name: settings for name, (settings, _) in DATASETS.items()
    }
    of_priors = {name: load(place) for name, (place,) in options.PRIORS.items()}
    assert of_priors == dict(PRIORS) | dict(FITTED_FAMILIES)
    of_methods = {
        stage
        for method in methods.STAGES
        for posterior in POSTERIORS
        for stage in methods.stages_of(method, posterior)
    }
    assert set(options.STAGES) == of_methods | {"prior", "diffusion_decoder"}


def test_no_option_is_in_a_config_twice():
    base = options.base()
    for section in ("optimizer", "training"):
        assert not set(base[section]) & {"num_steps", "batch_size", "seed"}
    assert not set(base.optimizer) & set(base.training)
    trained = {*base.optimizer, *base.training, "num_steps", "batch_size", "seed"}
    assert trained == set(options.options_of("joint"))
    for section, places in options.SECTIONS.items():
        declared = [name for place in places for name in options.declared(place)]
        assert len(declared) == len(set(declared)), section


def test_configs_are_built_without_jax():
    program = (
        "import sys; from jnf_jax.experiments import config_files; "
        "config = config_files.load_config('digits/jnf'); "
        "assert config.sampler.max_doublings == 8; sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_sections_of_the_base_are_locked():
    base = options.base()
    with pytest.raises(AttributeError, match="num_block"):
        base.flow.num_block = 3
    base.data = dict(name="digits")  # sections of its own are a config's to add


def whole_config(section):
    """A config that resolves, with all sections there are, and the one of interest."""
    steps = dict(num_steps=1, batch_size=8)
    if section in methods.METHODS:  # its own, which no other method has
        return peers.of_method(tiny_config(), section), section
    if section == "autoencoders":
        return peers.latent_diffusion(tiny_config(), steps), section
    config = tiny_config(
        method="jnf_shared",
        projectors=dict(objective="nt_xent", size=3),
        denoiser=dict(features=(4,)),
        fitted_prior=dict(name="flow"),
        shared=steps,
        prior=dict(steps, select="last"),
        joint=dict(steps, select="last"),
        diffusion_decoder=steps,
        evaluation__measures=",".join(MEASURES),
    ).unlock()
    above, _, name = section.rpartition(".")
    if above == "data":
        config.data = dict(name=name)
    elif above in options.NAMED:
        options.override(config, {f"{above}.name": name})
    return config, above if above in options.NAMED else section


SECTIONS = [
    *[section.replace("*", "default") for section in options.SECTIONS],
    *[f"data.{name}" for name in DATASETS],
    *[f"model.prior.{name}" for name in PRIORS],
    *[f"fitted_prior.{name}" for name in FITTED_FAMILIES],
    "init",
]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_can_be_set_from_the_command_line(section):
    """Wrong values are told of, as options are, or else held by what is resolved."""
    config, field = whole_config(section)
    free = []
    for name, option in options.options_of(field, config).items():
        path = f"{field}.{name}" if field else name
        if path in ("method", "stages", "evaluation.measures") or name == "name":
            continue  # others are read by what they say
        if path in ("init.subsets", "init.autoencoders"):
            continue  # the whole config, of JNF-Shared, infers by products
        changed = config.copy_and_resolve_references()
        options.override(changed, {path: "?"})
        try:
            experiment = resolve(changed)
        except ValueError as error:
            told = str(error)
            assert any(
                line.startswith(f"`{path}` is '?'") for line in told.splitlines()
            ), told
        else:
            assert option.kind == "str" and "'?'" in repr(experiment), path
            free.append(name)
    if section in ("data.cub", "init"):
        assert free  # both ways were gone


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("joint.learning_rate", "3e-4", 3e-4),
        ("joint.num_steps", "12", 12),
        ("sampler.max_doublings", "4", 4),
        ("model.likelihood_rescaling", "true", True),
        ("flow.hidden_sizes", "(8, 4)", (8, 4)),
        ("data.seed", "7", 7),
        ("model.networks.default.hidden_sizes", "(8,)", (8,)),
        ("init.joint", "12", "12"),
        ("denoiser.num_steps", "3", 3),
    ],
)
def test_text_becomes_a_value_of_the_declared_type(path, text, value):
    config = digits_jnf.get_config()
    options.override(config, {path: text})
    found = config
    for name in path.split("."):
        found = found[name]
    assert found == value and type(found) is type(value)


def test_the_names_that_decide_other_fields_are_set_first():
    config = digits_jnf.get_config()
    changes = {"model.prior.num_steps": "5", "model.prior.name": "energy"}
    options.override(config, changes)
    assert config.model.prior.to_dict() == {"name": "energy", "num_steps": 5}


def test_a_field_has_no_fields():
    config = digits_jnf.get_config()
    with pytest.raises(ValueError, match=r"`seed.x` is unknown: `seed` is 0, no sec"):
        options.override(config, {"seed.x": "1"})
    options.override(config, {"joint": "3"})
    with pytest.raises(ValueError, match="`joint` is 3, expected a section"):
        resolve(config)


def test_a_stage_is_trained_as_all_are_but_for_what_its_section_sets():
    config = digits_jnf.get_config()
    changes = {"optimizer.learning_rate": "2e-3", "joint.learning_rate": "3e-4"}
    options.override(config, changes | {"training.log_every": "7", "seed": "5"})
    training = resolve(config).training
    assert training["joint"].learning_rate == 3e-4
    assert training["unimodal"].learning_rate == 2e-3
    assert {t.log_every for t in training.values()} == {7}
    assert {t.seed for t in training.values()} == {5}
    assert training["joint"].b1 == 0.9


def test_a_config_stored_before_there_were_more_options_resolves_to_the_same():
    config = digits_jnf.get_config()
    stored = json.loads(config.to_json())
    del stored["experts"], stored["evaluation"]["diffusion_decoder"]
    del stored["sampler"]["max_doublings"], stored["refinement"]["max_doublings"]
    for name in ("prior_rate_factor", "prior_start_step"):
        del stored["optimizer"][name]
    settings = resolve(ml_collections.ConfigDict(stored))
    assert repr(settings) == repr(resolve(config))
