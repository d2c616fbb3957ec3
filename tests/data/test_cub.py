"""CUB in TFDS's layout: captions go with their pictures, and no picture is in two.

``cub_words.txt`` are the words of the real captions of the test classes that are there
at least four times, with their counts. Where ``JNF_JAX_CUB_CAPTIONS`` names a file of
real captions (a line each, ten a bird, .gz), pictures with these are tested too.
"""

import gzip
import os
from pathlib import Path

import cub_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.data import load
from jnf_jax.data.captions import build_vocabulary, encode, to_text, tokenize

REAL_CAPTIONS = os.environ.get("JNF_JAX_CUB_CAPTIONS", "")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("birds")
    path = cub_files.write(root)
    return {
        "captions_file": str(path),
        "data_dir": str(root),
        "cache_dir": str(root / "c"),
    }


@pytest.fixture(scope="module")
def data(places):
    return load("cub", validation_fraction=0.2, test_fraction=0.3, **places)


def _words(data):
    """The vocabulary, read off the pictured captions' function."""
    return data.presentations["text"].write.keywords["vocabulary"]


def test_sizes_and_no_picture_in_two_splits(data):
    assert data.record["sizes"] == {"train": 120, "validation": 50, "test": 70}
    greys = [set(split.arrays["image"][:, 0, 0, 0]) for split in data.splits.values()]
    assert len(set.union(*greys)) == sum(map(len, greys)) == 24
    assert data.num_classes is None
    for split in data.splits.values():
        # However few tuples are taken, they show as many pictures as there are.
        num = len(split.arrays["image"])
        image_of = split.arrays["image_of"].reshape(10, num)
        np.testing.assert_array_equal(image_of, np.tile(np.arange(num), (10, 1)))


def test_a_caption_tells_the_colour_of_its_picture(data):
    fetch = jax.jit(data.fetch)
    for split in data.splits.values():
        views = fetch(split.arrays, jnp.arange(20))
        assert views["image"].shape == (20, 64, 64, 3)
        for image, text in zip(*map(np.asarray, views.values()), strict=True):
            number = round(float(image[0, 0, 0]) * 255)
            colour = cub_files.colour_of(number)
            assert colour in to_text(text, _words(data)).split()
            middle = np.rint(255 * image[32, 32]).astype(int)
            np.testing.assert_array_equal(middle, cub_files.COLOURS[colour])


def test_tokens_are_one_hot_up_to_the_end_and_then_nothing(data):
    split = data.splits["test"]
    text = np.asarray(data.fetch(split.arrays, jnp.arange(70))["text"])
    assert text.shape[1:] == data.shapes["text"]
    mass, ends = text.sum(-1), text[..., 1]
    np.testing.assert_array_equal(ends.sum(1), np.ones(70))
    after = np.cumsum(ends, axis=1) - ends
    np.testing.assert_array_equal(mass, 1 - after)


def test_the_vocabulary_is_of_training_and_rare_words_are_not_in_it(data):
    words = _words(data)
    assert words[:2] == ["<exc>", "<eos>"] and "bird" in words
    assert not [word for word in words if word.startswith("number")]
    # The tenth caption of every bird, of twelve birds, has such a word.
    tokens = data.splits["train"].arrays["tokens"]
    np.testing.assert_array_equal((tokens == 0).any(1), np.arange(120) // 12 == 9)


def _as_frequent_as_real(num_captions):
    """Captions of the real ones' words, each drawn as often as it is written there."""
    lines = Path(__file__).with_name("cub_words.txt").read_text().splitlines()
    words, counts = zip(*(line.split(" ") for line in lines), strict=True)
    share = np.array(counts, float) / sum(map(int, counts))
    rng = np.random.default_rng(0)
    lengths = rng.poisson(17, num_captions) + 1
    return [" ".join(rng.choice(words, length, p=share)) for length in lengths]


def _real(num_captions):
    del num_captions
    with gzip.open(REAL_CAPTIONS, "rt", encoding="utf-8") as file:
        return [line.strip() for line in file]


no_file = pytest.mark.skipif(not REAL_CAPTIONS, reason="no JNF_JAX_CUB_CAPTIONS")


@pytest.mark.parametrize(
    "captions", [_as_frequent_as_real, pytest.param(_real, marks=no_file)]
)
def test_captions_of_real_words_go_with_their_pictures_and_come_back(
    captions, tmp_path
):
    lines = captions(3_000)
    path = cub_files.write(tmp_path, texts=lambda k: lines[10 * k : 10 * k + 10])
    data = load(
        "cub", captions_file=str(path), data_dir=str(tmp_path), cache_dir=str(tmp_path)
    )
    words = _words(data)
    for split in data.splits.values():
        arrays = split.arrays
        numbers = arrays["image"][arrays["image_of"], 0, 0, 0]
        for row, (number, tokens) in enumerate(
            zip(numbers, arrays["tokens"], strict=True)
        ):
            place = row // len(arrays["image"])
            caption = tokenize(lines[10 * number + place])[:31]
            kept = [word if word in words else "<exc>" for word in caption]
            assert [words[k] for k in tokens if k >= 0] == [*kept, "<eos>"]
    # All of them: what is unknown is rare, and each comes back word by word.
    tokens = [tokenize(line) for line in lines]
    words = build_vocabulary(tokens, min_count=4)
    rows = encode(tokens, words, length=32)
    assert (rows == 0).sum() < 0.02 * (rows >= 0).sum()
    for own, row in zip(tokens[:200], rows, strict=False):
        back = tokenize(to_text(np.eye(len(words) + 1)[row][:, :-1], words))
        known = [word if word in words else "<exc>" for word in own[:31]]
        assert back == tokenize(" ".join(known))


def test_what_is_cached_is_what_was_read(data, places):
    again = load("cub", validation_fraction=0.2, test_fraction=0.3, **places)
    assert again.record == data.record
    other = load("cub", validation_fraction=0.2, test_fraction=0.3, seed=1, **places)
    assert other.record["checksums"] != data.record["checksums"]


def _captions_with(places, tmp_path, change):
    lines = open(places["captions_file"], encoding="utf-8").read().splitlines()
    (tmp_path / "other.tsv").write_text("\n".join(change(lines)))
    return {**places, "captions_file": str(tmp_path / "other.tsv")}


def test_captions_and_pictures_must_match(places, tmp_path):
    more = _captions_with(places, tmp_path, lambda x: [*x, "Emu_1.jpg\ta large bird"])
    with pytest.raises(ValueError, match=r"does not have: 1, such as \['Emu_1'\]"):
        load("cub", **more)
    fewer = _captions_with(places, tmp_path, lambda x: x[20:])
    with pytest.raises(ValueError, match=r"no captions of .*: 2, such as \['Bird_0000"):
        load("cub", **fewer)


def test_what_is_missing(places, tmp_path):
    with pytest.raises(FileNotFoundError, match="`data.captions_file` is ''"):
        load("cub")
    with pytest.raises(FileNotFoundError, match="prepare caltech_birds2011"):
        load("cub", captions_file=places["captions_file"], data_dir=str(tmp_path))
