"""Features of pictures, in which Fréchet distances are measured."""

import functools
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.data.dataset import has_picture_shape
from jnf_jax.data.torch_file import load_tensors
from jnf_jax.evaluation.subject import Subject
from jnf_jax.networks import inception
from jnf_jax.runtime import parallel
from jnf_jax.runtime.files import user_path
from jnf_jax.types import Params, Views

_ARGUMENT = "evaluation.frechet.inception_file"


def sha256_of(path: str) -> str:
    """The digest of a file, hex."""
    with open(user_path(path, _ARGUMENT), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Extractor(NamedTuple):
    """``extract(m, x f32[B, ...] as shown) -> f32[B, F]`` for modalities ``targets``.

    F is at most ``size``; ``distance`` names distances in these features.
    """

    distance: str
    extract: Callable[[str, jax.Array], jax.Array]
    size: int
    targets: tuple[str, ...]


def pictures_of(subject: Subject) -> tuple[str, ...]:
    """The modalities that are grey or of three colours, and shown as they are; of these
    the ones that tell of the label, where there is one: their classifiers see them."""
    dataset = subject.dataset
    return tuple(
        m
        for m in subject.inference.modalities
        if has_picture_shape(dataset.shapes[m])
        and m not in {*dataset.presentations, *subject.held_out.unlabelled}
    )


@functools.partial(jax.jit, static_argnums=1)
def as_shown(x: Float[Array, "..."], is_picture: bool) -> Float[Array, "..."]:
    """Rounds a picture to the nearest of 256 values in [0, 1], as a file would hold it.

    What is no picture stays: it may lie outside [0, 1], and no file holds it in 8 bit.
    """
    return jnp.round(jnp.clip(x, 0, 1) * 255) / 255 if is_picture else x


def classifier_features(subject: Subject) -> Extractor:
    """The last hidden layer of the classifiers that judge coherence."""
    features = jax.tree_util.Partial(subject.classifiers.features)
    targets = tuple(subject.inference.modalities)
    views = {
        m: jax.ShapeDtypeStruct((1, *subject.dataset.shapes[m]), jnp.float32)
        for m in targets
    }
    size = max(x.shape[-1] for x in jax.eval_shape(features, views).values())

    @jax.jit
    def program(features: Callable[[Views], Any], views: Views) -> Any:
        # Accelerators round what they multiply unless told not to.
        with jax.default_matmul_precision("highest"):
            return features(views)

    return Extractor(
        "frechet_classifier", lambda m, x: program(features, {m: x})[m], size, targets
    )


def inception_features(
    path: str,
    sha256: str,
    mesh: jax.sharding.Mesh | None,
    targets: tuple[str, ...] = (),
) -> Extractor:
    """Pool3 of Inception-v3, greyscale repeated to three channels, for ``targets``.

    ``path`` holds the weights as pytorch-fid publishes them. Their digest is compared
    again: hours may lie between the config's check and here. The distance is the "fid"
    with the published weights, "frechet_inception" with others.

    Raises:
        ValueError: If the file has another digest than ``sha256``.
    """
    found = sha256_of(path)
    if found != sha256.lower():
        raise ValueError(
            f"`path` {path} has SHA-256 {found}, expected {sha256} as in `sha256`"
        )
    params = parallel.put(
        inception.from_torch(load_tensors(user_path(path, _ARGUMENT))),
        parallel.replicated(mesh),
    )

    @jax.jit
    def pool3(params: Params, x: Float[Array, "batch height width channels"]) -> Any:
        colour = jnp.broadcast_to(x, (*x.shape[:-1], 3))
        return inception.Inception().apply({"params": params}, colour)

    return Extractor(
        "fid" if found == inception.WEIGHTS_SHA256 else "frechet_inception",
        lambda m, x: pool3(params, x),
        inception.NUM_FEATURES,
        targets,
    )
