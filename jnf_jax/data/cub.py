"""`cub`: pictures of birds and what people wrote of them (CUB-200-2011 with captions).

Pictures are TFDS's `caltech_birds2011`, reduced to 64 × 64; captions are a file or a
folder of the user's (Reed et al., 2016: ten a bird), matched by picture name. A tuple
is a picture and one of its captions, and all captions of a picture are in one split:
the published splits by caption show the test pictures in training. The vocabulary is
of the training captions alone.

Tested on generated pictures in TFDS's layout with real captions' words; not yet on the
real pictures.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jnf_jax.data import captions, dataset, pairing, rendering
from jnf_jax.data.tfds_cache import cached, load_images
from jnf_jax.options import option

NAME = "caltech_birds2011"
SIDE = 64


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `cub`."""

    seed: int = option(42, "Seed of the split.", between=(0, 2**31 - 1))
    validation_fraction: float = option(
        0.1, "Share of all pictures.", between=(0.001, 0.4)
    )
    test_fraction: float = option(0.1, "Share of all pictures.", between=(0.001, 0.4))
    num_tokens: int = option(
        32, "Most tokens of a caption, with the one that ends it.", between=(2, 512)
    )
    min_count: int = option(
        4, "Words seen less often in training are unknown.", between=(1, 1000)
    )
    captions_file: str = option("", "File or folder of captions, see `captions.read`.")
    data_dir: str = option("", "TFDS folder; '' for $TFDS_DATA_DIR or its default.")
    cache_dir: str = option("", "Folder for computed arrays; '' for ~/.cache/jnf_jax.")


def fetch(
    arrays: Mapping[str, Any],
    indices: Int[Array, " batch"] | Int[np.ndarray, " batch"],
    *,
    num_words: int,
) -> dict[str, Float[Array, "batch ..."]]:
    """Gathers tuples from ``image`` u8[n, 64, 64, 3], ``tokens`` i16[N, T] and
    ``image_of`` i32[N].

    Returns:
      {"image": f32[B, 64, 64, 3] in [0, 1], "text": f32[B, T, num_words], one-hot, rows
      of zeros where the caption is over}.
    """
    arrays, indices = jax.tree.map(jnp.asarray, (dict(arrays), indices))
    image = arrays["image"][arrays["image_of"][indices]]
    # The class of padding is none: a row of zeros.
    text = jax.nn.one_hot(arrays["tokens"][indices], num_words)
    return {"image": rendering.to_unit(image), "text": text}


def load(settings: Settings) -> dataset.Dataset:
    """Reads pictures and captions (decoding and tokenising the first time).

    Raises:
      FileNotFoundError: the pictures are not prepared (the message has the command),
        or the captions are not there.
      ValueError: captions of unknown pictures, or pictures without any.
    """
    if not settings.captions_file:
        raise FileNotFoundError(
            "`data.captions_file` is '', expected the file or folder of the captions; "
            "see jnf_jax/data/captions.py"
        )
    places = {"data_dir": settings.data_dir, "cache_dir": settings.cache_dir}
    parts = [load_images(NAME, own, side=SIDE, **places) for own in ("train", "test")]
    images, names = (
        np.concatenate([part[key] for part in parts]) for key in ("images", "names")
    )
    written = _match(captions.read(settings.captions_file), names)
    held_out = (settings.validation_fraction, settings.test_fraction)
    shares, one_class = (1 - sum(held_out), *held_out), np.zeros(len(names), np.int32)
    rows = pairing.split_by_image(one_class, shares, seed=settings.seed)
    text = _load_text(settings, written, rows)
    words = [str(word) for word in text["vocabulary"]]
    splits = {}
    for split, own in zip(dataset.SPLITS, rows, strict=True):
        counts = [len(written[i]) for i in own]
        # Each picture's first caption, then each one's second …: the first N tuples,
        # which measures take, show as many pictures as there are.
        order = np.argsort(
            np.concatenate([np.arange(count) for count in counts]), kind="stable"
        )
        image_of = np.repeat(np.arange(len(own), dtype=np.int32), counts)
        arrays = {
            "image": images[own],
            "tokens": text[f"tokens_{split}"][order],
            "image_of": image_of[order],
        }
        splits[split] = dataset.Split(arrays, len(arrays["tokens"]), None)
    checksums = {"vocabulary": dataset.checksum(text["vocabulary"])}
    checksums |= dataset.array_checksums(splits)
    return dataset.Dataset(
        name="cub",
        shapes={"image": (SIDE, SIDE, 3), "text": (settings.num_tokens, len(words))},
        splits=splits,
        fetch=functools.partial(fetch, num_words=len(words)),
        num_classes=None,
        record=dataset.build_record(settings, splits, checksums),
        presentations={
            "text": dataset.Presentation(
                picture=lambda x: captions.draw(_texts(x, words)),
                write=functools.partial(_write_texts, vocabulary=words),
            )
        },
    )


def _texts(tokens: np.ndarray, vocabulary: Sequence[str]) -> list[str]:
    return [captions.to_text(row, vocabulary) for row in tokens]


def _write_texts(
    stem: Path, tokens: np.ndarray, *, vocabulary: Sequence[str]
) -> list[Path]:
    """A line a caption."""
    path = stem.with_suffix(".txt")
    path.write_text("\n".join([*_texts(tokens, vocabulary), ""]), encoding="utf-8")
    return [path]


def _match(found: dict[str, list[str]], names: np.ndarray) -> list[list[str]]:
    """The captions of each picture."""
    stems = [Path(str(name)).stem for name in names]
    unknown, missing = sorted(set(found) - set(stems)), sorted(set(stems) - set(found))
    for what, some in (
        ("captions of pictures that the data set does not have", unknown),
        ("no captions of pictures that it has", missing),
    ):
        if some:
            raise ValueError(
                f"`data.captions_file` has {what}: {len(some)}, such as {some[:3]}; "
                f"expected those of its {len(stems)} pictures, named as {stems[0]!r}"
            )
    return [found[stem] for stem in stems]


def _load_text(
    settings: Settings, written: list[list[str]], rows: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """``vocabulary`` str[V] and ``tokens_<split>`` i16[N, T], cached."""
    length, min_count = settings.num_tokens, settings.min_count
    about = {"captions": written, "rows": [r.tolist() for r in rows]}
    about |= {"num_tokens": length, "min_count": min_count}

    def build() -> dict[str, np.ndarray]:
        tokens = {
            f"tokens_{split}": [captions.tokenize(t) for i in own for t in written[i]]
            for split, own in zip(dataset.SPLITS, rows, strict=True)
        }
        words = captions.build_vocabulary(tokens["tokens_train"], min_count=min_count)
        return {"vocabulary": np.array(words)} | {
            name: captions.encode(own, words, length=length)
            for name, own in tokens.items()
        }

    return cached("cub-captions", about, settings.cache_dir, build)
