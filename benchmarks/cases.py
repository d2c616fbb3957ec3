"""The models that are timed: published configs, on tuples of random pixels.

What a step costs does not depend on what the pixels show.
"""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jnf_jax.data.dataset import Dataset, Split
from jnf_jax.experiments import config_files
from jnf_jax.experiments.config import resolve
from jnf_jax.experiments.experiment import Setup
from jnf_jax.methods.registry import build_method
from jnf_jax.networks.build import NetworkSettings

SHAPES = {
    "mnist_svhn": {"mnist": (28, 28, 1), "svhn": (32, 32, 3)},
    "polymnist": {f"m{i}": (28, 28, 3) for i in range(5)},
    "digits": {f"m{i}": (16, 16, 3) for i in range(3)},
}
PEERS = ("jmvae", "mvae", "mopoe", "mvtcae", "mmvae", "mmvae_plus")
"""Methods that MultiVae has too, beside JNF; a stage each."""

PRIVATE_SIZE = 10
"""Of MMVAE+, beside the config's latent."""

CONFIGS = {"digits": "digits/jnf_paper"}
"""JNF as published; elsewhere it is ``<name>/jnf``."""

SMALL = {
    "features": (4, 4),
    "hidden_sizes": (8,),
    "kernel_size": 4,
}


def open_case(
    name: str,
    *,
    size: int,
    small: bool = False,
    num_modalities: int = 0,
    config: str = "",
    method: str = "jnf",
    **model: Any,
) -> Setup:
    """Settings, random data and method of a config of JNF, or of a peer in its place.

    Args:
        name: A key of ``SHAPES``.
        size: Training tuples; there are an eighth as many to validate and to test on.
        small: With tiny networks, for tests of the benchmarks.
        num_modalities: Of "polymnist", another number than five.
        config: Its name; empty: see ``CONFIGS``.
        method: "jnf" or one of ``PEERS``.
        **model: Fields of ``ModelSettings`` to replace.
    """
    config = config or CONFIGS.get(name, f"{name}/jnf")
    experiment = resolve(of_method(config_files.load_config(config), method))
    shapes = SHAPES[name]
    if num_modalities:
        shapes = {f"m{i}": shapes["m0"] for i in range(num_modalities)}
    if small:
        model = {"latent_dim": 4, "joint_hidden_sizes": (8,)} | model
        model.setdefault(
            "networks",
            {
                m: dataclasses.replace(network, **SMALL)
                for m, network in experiment.model.networks.items()
            },
        )
    experiment = dataclasses.replace(
        experiment, model=dataclasses.replace(experiment.model, **model)
    )
    built = build_method(
        method,
        shapes,
        model=experiment.model,
        flow=experiment.flow,
        sampler=experiment.sampler,
        **experiment.sections,
    )
    return Setup(experiment, random_tuples(name, shapes, size), built)


def of_method(config: ConfigDict, method: str) -> ConfigDict:
    """JNF's config with that method, with settings that both sides know.

    One draw a datum, or an expert; no random subsets; of mixtures Laplace experts with
    softmax scales, and MMVAE's DReG.
    """
    if method == "jnf":
        return config
    mixture = dict(family="laplace", scale="softmax", num_importance_samples=1)
    with config.unlocked():
        config.method, config.stages = method, "joint"
        del config.unimodal
        if method == "jmvae":
            config.flow.num_blocks = 0
        if method == "mvae":
            config.mvae = dict(num_subsets=0)
        if method == "mmvae":
            config.mmvae = mixture | dict(gradient="dreg_published")
            config.model.prior = dict(name="learnable_scale", kind="laplace")
        if method == "mmvae_plus":
            config.experts = mixture | dict(private_dim=PRIVATE_SIZE)
            config.model.prior = dict(name="laplace")
    return config


def random_tuples(name: str, shapes: dict[str, tuple[int, ...]], size: int) -> Dataset:
    """Uniform pixels as uint8, divided by 255 in the step as the real sets are."""
    rng = np.random.default_rng(0)

    def split(size: int) -> Split:
        arrays = {
            m: rng.integers(0, 256, (size, *shape), np.uint8)
            for m, shape in shapes.items()
        }
        return Split(arrays, size, rng.integers(0, 10, size))

    def fetch(arrays, indices):
        return {m: a[indices].astype(jnp.float32) / 255 for m, a in arrays.items()}

    few = max(size // 8, 16)
    splits = {"train": split(size), "validation": split(few), "test": split(few)}
    return Dataset(name, shapes, splits, fetch, 10, {"checksums": {}})


def describe_networks(setup: Setup) -> dict[str, Any]:
    """The same networks in words that the rival's side builds its own from."""
    model = setup.experiment.model

    def network(settings: NetworkSettings) -> dict[str, Any]:
        return dataclasses.asdict(settings)

    return {
        "method": setup.experiment.method,
        "private_size": PRIVATE_SIZE,
        "shapes": setup.dataset.shapes,
        "networks": {m: network(model.network(m)) for m in setup.dataset.shapes},
        "latent_size": model.latent_dim,
        "joint_hidden_sizes": model.joint_hidden_sizes,
        "scale": {m: model.likelihood(m).scale for m in setup.dataset.shapes},
        "rescaling": model.likelihood_rescaling,
        "beta": model.beta,
        "flow_blocks": setup.experiment.flow.num_blocks,
        "flow_hidden_sizes": setup.experiment.flow.hidden_sizes,
    }


def count_multiplications(setup: Setup, stage: str, batch_size: int) -> float:
    """Useful floating-point operations of a step's matrix products and convolutions.

    Counted layer by layer, two a multiplication and addition; backward costs twice
    forward, but for the input of the first layer. Taps that fall on padding count.
    """
    model = setup.experiment.model
    latent = model.latent_dim
    head_size = model.head_size or latent
    total = 0.0
    for m, shape in setup.dataset.shapes.items():
        settings = model.network(m)
        trunk, last = _trunk(settings, shape)
        decoder = _dense([latent, *settings.hidden_sizes[::-1], last]) + trunk[:-1]
        if settings.kind == "mlp":
            decoder = _dense([latent, *settings.hidden_sizes[::-1], math.prod(shape)])
        else:
            convolutions = trunk[: len(settings.features)]
            width = convolutions and _flat(settings, shape)
            decoder = (
                _dense([latent, *settings.hidden_sizes[::-1], width]) + convolutions
            )
        if stage == "joint":
            encoder = [*trunk, 2 * last * head_size]
            total += 3 * sum(encoder) - trunk[0] + 3 * sum(decoder)
        else:
            total += 3 * sum([*trunk, 4 * last * latent]) - trunk[0]
            total += 3 * count_flow(setup)
    if stage == "joint":
        heads = head_size * len(setup.dataset.shapes)
        total += 3 * sum(_dense([heads, *model.joint_hidden_sizes]))
        total += 3 * 4 * model.joint_hidden_sizes[-1] * latent
    return total * batch_size


def count_flow(setup: Setup) -> float:
    """The same of a flow at one latent, forward; masked entries count."""
    latent, flow = setup.experiment.model.latent_dim, setup.experiment.flow
    made = _dense([latent, *flow.hidden_sizes, 2 * latent])
    return flow.num_blocks * (sum(made) + 4 * latent**2)


def _dense(sizes: list[int]) -> list[float]:
    return [2.0 * a * b for a, b in zip(sizes[:-1], sizes[1:], strict=True)]


def _flat(settings: NetworkSettings, shape: tuple[int, ...]) -> int:
    side = shape[0]
    for _ in settings.features:
        side = (side + 2 - settings.kernel_size) // 2 + 1
    return side * side * settings.features[-1]


def _trunk(
    settings: NetworkSettings, shape: tuple[int, ...]
) -> tuple[list[float], int]:
    """Operations of each layer of an encoder's trunk, and its number of features."""
    if settings.kind == "mlp":
        sizes = [math.prod(shape), *settings.hidden_sizes]
        return _dense(sizes), sizes[-1]
    layers, side, channels = [], shape[0], shape[2]
    for features in settings.features:
        side = (side + 2 - settings.kernel_size) // 2 + 1
        layers.append(2.0 * side**2 * settings.kernel_size**2 * channels * features)
        channels = features
    sizes = [side**2 * channels, *settings.hidden_sizes]
    return layers + _dense(sizes), sizes[-1]
