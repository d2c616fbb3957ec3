"""Captions as tokens: reading, a vocabulary, one row of classes a caption, and back."""

import collections
import gzip
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16

from jnf_jax.runtime.files import user_path

UNKNOWN, END = "<exc>", "<eos>"
"""A word that is not in the vocabulary; the end of every text."""

PADDING = -1
"""It follows the end, and is no class at all: one-hot it is a row of zeros."""

_TOKEN = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")


def read(path: str | Path) -> dict[str, list[str]]:
    """Captions by the stem of their picture's file name.

    ``path`` is a text file (or .gz) of lines "file name<TAB>caption"; or a folder as
    Reed et al. (2016) publish it, with ``<class>/<picture>.txt``, a caption a line.

    Raises:
      FileNotFoundError: nothing there.
      ValueError: a line without a tab, or no captions at all.
    """
    path = user_path(path, "data.captions_file")
    if not path.exists():
        raise FileNotFoundError(
            f"`data.captions_file`: {path} is not there, expected a file of lines "
            '"picture<TAB>caption" or a folder of <class>/<picture>.txt'
        )
    found: dict[str, list[str]] = {}
    if path.is_dir():
        for file in sorted(path.glob("*/*.txt")):
            lines = file.read_text(encoding="utf-8").splitlines()
            found[file.stem] = [line.strip() for line in lines if line.strip()]
    else:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                name, tab, caption = line.rstrip("\n").partition("\t")
                if not tab:
                    raise ValueError(
                        f"`data.captions_file`: {path}, line {number}: got "
                        f'{name[:60]!r}, expected "picture<TAB>caption"'
                    )
                found.setdefault(Path(name).stem, []).append(caption.strip())
    if not found:
        raise ValueError(f"`data.captions_file`: {path} holds no captions")
    return found


def tokenize(caption: str) -> list[str]:
    """Words and marks in lower case.

    >>> tokenize("A bird's wing, black.")
    ['a', 'bird', "'", 's', 'wing', ',', 'black', '.']
    """
    return _TOKEN.findall(caption.lower())


def build_vocabulary(captions: Iterable[Sequence[str]], *, min_count: int) -> list[str]:
    """`UNKNOWN`, `END`, then the words seen at least ``min_count`` times, common first.

    ``captions`` are the tokens of each.
    """
    counts = collections.Counter(word for caption in captions for word in caption)
    words = [word for word, count in counts.items() if count >= min_count]
    return [UNKNOWN, END, *sorted(words, key=lambda word: (-counts[word], word))]


def encode(
    captions: Sequence[Sequence[str]], vocabulary: Sequence[str], *, length: int
) -> Int16[np.ndarray, "captions length"]:
    """Classes of the tokens, then `END`, then `PADDING`: i16[N, length].

    A caption of more than ``length`` − 1 tokens is cut, and ends all the same.
    """
    number = {word: k for k, word in enumerate(vocabulary)}
    tokens = np.full((len(captions), length), PADDING, np.int16)
    for row, caption in zip(tokens, captions, strict=True):
        kept = [number.get(word, 0) for word in caption[: length - 1]] + [1]
        row[: len(kept)] = kept
    return tokens


def to_text(
    tokens: Float[np.ndarray, "length words"], vocabulary: Sequence[str]
) -> str:
    """The most probable word at each place, up to the first `END` or row of zeros.

    ``tokens`` are one-hot, or probabilities.
    """
    words = []
    for row in np.asarray(tokens):
        word = vocabulary[int(row.argmax())]
        if word == END or not row.any():
            break
        words.append(word)
    return re.sub(r" ([.,!?')])", r"\1", " ".join(words))


def draw(texts: Sequence[str], *, size: int = 128) -> Float[np.ndarray, "count h w 1"]:
    """Texts as pictures, black on white: f32[N, size, size, 1] in [0, 1]."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(11)
    width = int(size / font.getlength("n"))
    drawings = np.zeros((len(texts), size, size, 1), np.float32)
    for drawing, text in zip(drawings, texts, strict=True):
        canvas = Image.new("L", (size, size), 255)
        lines = "\n".join(textwrap.wrap(text, width))
        ImageDraw.Draw(canvas).multiline_text((2, 2), lines, fill=0, font=font)
        drawing[..., 0] = np.asarray(canvas, np.float32) / 255.0
    return drawings
