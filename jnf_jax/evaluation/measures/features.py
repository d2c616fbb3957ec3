"""Features that Fréchet distances are measured in, and how a config asks for them."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.data.dataset import Dataset, has_picture_shape
from jnf_jax.data.torch_file import load_tensors
from jnf_jax.evaluation.subject import Subject
from jnf_jax.networks import inception
from jnf_jax.runtime import parallel
from jnf_jax.types import Params, Views

FEATURES = ("classifier", "inception")


@dataclasses.dataclass(frozen=True)
class FrechetSettings:
    """Which features the distance is measured in.

    Attributes:
        features: Members of ``FEATURES``, separated by commas.
        inception_file: pytorch-fid's weights; nothing is fetched.
        inception_sha256: Of that file, hex.
    """

    features: str = "classifier"
    inception_file: str = ""
    inception_sha256: str = ""

    def names(self) -> list[str]:
        """The members of ``FEATURES`` that are asked for."""
        return [name for name in map(str.strip, self.features.split(",")) if name]

    def faults(self, field: str) -> list[str]:
        """What is wrong, one line a fault."""
        unknown = sorted(set(self.names()) - set(FEATURES))
        if unknown or not self.names():
            return [
                f"`{field}.features` is {self.features!r}, expected one or more of "
                f"{FEATURES}, separated by commas"
            ]
        if "inception" not in self.names():
            return []
        if not (self.inception_file and self.inception_sha256):
            return [
                f"`{field}.inception_file` and `{field}.inception_sha256` are "
                f"{self.inception_file!r} and {self.inception_sha256!r}, expected both:"
                f" without its weights there is no FID. Get {inception.WEIGHTS_URL} "
                f"(95 MB, SHA-256 {inception.WEIGHTS_SHA256})"
            ]
        try:
            found = _sha256(self.inception_file)
        except OSError as error:
            return [f"`{field}.inception_file` cannot be read: {error}"]
        if found != self.inception_sha256.lower():
            return [
                f"`{field}.inception_file` {self.inception_file} has SHA-256 {found}, "
                f"expected {self.inception_sha256} as in `inception_sha256`"
            ]
        return []


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Extractor(NamedTuple):
    """Features of what is generated, and the name of distances in them.

    ``extract(m, x f32[B, ...] as shown) -> f32[B, F]``, F at most ``size``, of the
    modalities ``targets``.
    """

    distance: str
    extract: Callable[[str, jax.Array], jax.Array]
    size: int
    targets: tuple[str, ...]


def is_picture(dataset: Dataset, modality: str) -> bool:
    """Whether it is grey or of three colours, and shown to people as it is."""
    is_shown = modality not in dataset.presentations
    return has_picture_shape(dataset.shapes[modality]) and is_shown


def pictures_of(subject: Subject) -> tuple[str, ...]:
    """Its modalities that are pictures."""
    modalities = subject.inference.modalities
    return tuple(m for m in modalities if is_picture(subject.dataset, m))


@functools.partial(jax.jit, static_argnums=1)
def as_shown(x: Float[Array, "..."], is_picture: bool) -> Float[Array, "..."]:
    """Of a picture the nearest of 256 values in [0, 1], as a file would hold it.

    What is no picture stays: it may lie outside [0, 1], and no file holds it in 8 bit.
    """
    return jnp.round(jnp.clip(x, 0, 1) * 255) / 255 if is_picture else x


def extractors(
    subject: Subject, settings: FrechetSettings, num_pictures: int
) -> list[Extractor]:
    """Those asked for that the data allow; a line is reported for each of the others.

    Args:
        subject: The model and its data.
        settings: What is asked for.
        num_pictures: The least number that moments will be of.
    """
    found, data = [], subject.dataset.name
    modalities = subject.inference.modalities
    for name in settings.names():
        if name == "inception":
            targets = pictures_of(subject)
            if skipped := sorted(set(modalities) - set(targets)):
                subject.report(
                    f"not measured: fid of {', '.join(skipped)}: no pictures"
                )
            if not targets:
                continue
            extractor = inception_features(
                settings.inception_file,
                settings.inception_sha256,
                subject.held_out.mesh,
                targets,
            )
        elif subject.classifiers is None or subject.classifiers.features is None:
            why = "has no labels" if subject.classifiers is None else "needs none"
            subject.report(
                f"not measured: frechet_classifier needs a classifier, and {data!r} "
                f"{why}"
            )
            continue
        else:
            extractor = _classifier(subject)
        if num_pictures <= extractor.size:
            subject.report(
                f"not measured: {extractor.distance} needs more than {extractor.size} "
                f"pictures, one for each feature, and there are {num_pictures}"
            )
            continue
        found.append(extractor)
    return found


def _classifier(subject: Subject) -> Extractor:
    program = jax.jit(_in_float32)
    features = jax.tree_util.Partial(subject.classifiers.features)
    targets = tuple(subject.inference.modalities)
    views = {
        m: jax.ShapeDtypeStruct((1, *subject.dataset.shapes[m]), jnp.float32)
        for m in targets
    }
    size = max(x.shape[-1] for x in jax.eval_shape(features, views).values())
    return Extractor(
        "frechet_classifier", lambda m, x: program(features, {m: x})[m], size, targets
    )


def _in_float32(features: Callable[[Views], Any], views: Views) -> Any:
    """Accelerators round what they multiply unless told not to."""
    with jax.default_matmul_precision("highest"):
        return features(views)


def inception_features(
    path: str,
    sha256: str,
    mesh: jax.sharding.Mesh | None,
    targets: tuple[str, ...] = (),
) -> Extractor:
    """Pool3 of Inception-v3, greyscale repeated to three channels.

    Args:
        path: Weights as pytorch-fid publishes them.
        sha256: Of that file, hex; hours may lie between the config's check and here.
        mesh: Devices that hold them, each all.
        targets: Modalities that are pictures.

    Returns:
        Extractor of the "fid" for the published weights, of "frechet_inception" for
        others, by the digest that the file is found to have.

    Raises:
        ValueError: If that is another than ``sha256``.
    """
    found = _sha256(path)
    if found != sha256.lower():
        raise ValueError(
            f"`path` {path} has SHA-256 {found}, expected {sha256} as in `sha256`"
        )
    params = parallel.put(
        inception.from_torch(load_tensors(Path(path))), parallel.replicated(mesh)
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
