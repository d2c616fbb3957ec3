"""Captions: what is read, which words are known, and texts that come back."""

import gzip

import numpy as np
import pytest

from jnf_jax.data import captions

TEXTS = ["A red bird, small.", "a red beak", "the red bird's bill"]


def test_files_and_folders_are_read(tmp_path):
    lines = "x/Bird_1.jpg\ta red bird\nx/Bird_1.jpg\ta bird\nBird_2.jpg\tblue\n"
    (tmp_path / "a.tsv").write_text(lines)
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    for number, text in ((1, "a red bird\n\na bird\n"), (2, "blue\n")):
        (tmp_path / "text" / "001.Bird").mkdir(parents=True, exist_ok=True)
        (tmp_path / "text" / "001.Bird" / f"Bird_{number}.txt").write_text(text)
    expected = {"Bird_1": ["a red bird", "a bird"], "Bird_2": ["blue"]}
    for name in ("a.tsv", "a.tsv.gz", "text"):
        assert captions.read(tmp_path / name) == expected


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="`data.captions_file`: .* is not there"
    ):
        captions.read(tmp_path / "none.tsv")
    (tmp_path / "a.tsv").write_text("a.jpg\tfine\nno picture here\n")
    with pytest.raises(ValueError, match="line 2: got 'no picture here', expected"):
        captions.read(tmp_path / "a.tsv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no captions"):
        captions.read(tmp_path / "empty")


def test_rare_words_are_unknown_and_the_end_comes_before_the_padding():
    tokens = [captions.tokenize(text) for text in TEXTS]
    words = captions.build_vocabulary(tokens, min_count=2)
    assert words == ["<exc>", "<eos>", "red", "a", "bird"]
    rows = captions.encode(tokens, words, length=6)
    np.testing.assert_array_equal(
        rows, [[3, 2, 4, 0, 0, 1], [3, 2, 0, 1, -1, -1], [0, 2, 4, 0, 0, 1]]
    )


def test_a_text_comes_back_up_to_its_end():
    tokens = [captions.tokenize(text) for text in TEXTS]
    words = captions.build_vocabulary(tokens, min_count=1)
    rows = captions.encode(tokens, words, length=9)
    one_hot = np.eye(len(words) + 1)[rows][..., :-1]  # class −1 is the last: none
    texts = [captions.to_text(row, words) for row in one_hot]
    assert texts == ["a red bird, small.", "a red beak", "the red bird' s bill"]
    assert captions.to_text(0.4 * one_hot[1] + 1e-3, words) == "a red beak"


def test_drawn_texts_differ_and_fit():
    drawn = captions.draw(["a red bird", "", "long " * 20])
    assert drawn.shape == (3, 128, 128, 1)
    ink = (drawn < 0.5).sum((1, 2, 3))
    assert ink[1] == 0 < ink[0] < ink[2]
    assert (drawn[:, :, -1] == 1).all()
