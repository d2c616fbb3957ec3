"""Names of views: refused by one rule, joined without ambiguity, bounded as files."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from jnf_jax.data import own, record_files
from jnf_jax.data.dataset import Dataset
from jnf_jax.names import check_names, file_name, join_names, split_names

ROOT = Path(__file__).parents[1]
ODD = ["-", "--", "_", "0", "1e5", "a-b", "A", "x" * 64, "prior", "None", "file"]
SUBSETS = [s for n in range(1, len(ODD)) for s in itertools.combinations(ODD, n)]


def test_subsets_of_odd_names_are_told_apart():
    check_names(ODD, "`views`")
    assert all(split_names(join_names(subset)) == subset for subset in SUBSETS)
    assert len({file_name(join_names(subset)) for subset in SUBSETS}) == len(SUBSETS)
    with pytest.raises(ValueError, match=r"`names` has 'a\+b', expected text without"):
        join_names(["a", "a+b"])


def test_names_of_files_are_bounded():
    names = [f"{'x' * 61}{number}" for number in range(100, 140)]
    subsets = [names[:k] for k in range(1, 41)] + [names[k:] for k in range(1, 40)]
    found = {file_name(join_names(subset)) for subset in subsets}
    assert len(found) == 79 and max(map(len, found)) == 120
    assert len(file_name("é" * 100).encode()) <= 120
    assert file_name("../a:b") == ".._a_b"


@pytest.mark.parametrize(
    "name",
    ["", "a+b", "a/b", "..", "a.b", "a b", "a,b", "a\n", "é", "x" * 65, "mean"],
)
def test_a_bad_name_is_refused_wherever_it_comes_in(name, tmp_path):
    told = (
        f"has a view named {name!r}, expected 1 to 64 letters, digits, '_' and '-', "
        "and neither 'default' nor 'mean'"
    )
    views = {name: np.zeros((1, 2), np.float32)}
    splits = {split: [(views, None)] for split in ("train", "validation", "test")}
    about = dict(name="set", num_classes=None)
    for where, call in (
        ("`views`", lambda: own.as_arrays(views)),
        ("data set 'set'", lambda: Dataset("set", {name: (2,)}, {}, dict, None, {})),
        (
            "split 'train'",
            lambda: record_files.write(tmp_path / "a", splits=splits, **about),
        ),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(f'{where} {told}')}$"):
            call()
    assert not [*tmp_path.iterdir()]  # nor is there a part of it


def lines_with(pattern: str, *, but: str) -> list[str]:
    """Lines of the package, the configs and the tools, without those of one file."""
    files = [p for folder in ("jnf_jax", "configs", "tools")
             for p in (ROOT / folder).rglob("*.py")]  # fmt: skip
    return [
        f"{path}: {line}"
        for path in files
        if path != ROOT / "jnf_jax" / but
        for line in path.read_text("utf-8").splitlines()
        if re.search(pattern, line) and "nargs=" not in line
    ]


def test_names_are_joined_and_paths_read_in_one_place():
    assert not lines_with(r"""["']\+["']""", but="names.py")
    assert not lines_with("expanduser|Path.home", but="runtime/files.py")
    assert not lines_with(r'DEFINE_string\(.*"[\w-]*(dir|out|file)"', but="")
