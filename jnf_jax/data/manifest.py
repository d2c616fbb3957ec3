"""The manifest of a data set in files: what `record_files.py` says of what it wrote.

It is read, and every field checked, without jax: configs choose networks by it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jnf_jax.data.dataset import SPLITS
from jnf_jax.runtime.files import read_json

FORMAT = 1
NAME = "manifest.json"

SCALED = ("standardise", "log1p")
"""Rules of `dataset.Scaling`."""

KINDS = ("classes", "boolean", "scores", "counts")
"""What views of bool and integers are, see `own.KINDS`."""


def read(folder: Path) -> dict[str, Any]:
    """The manifest of the data set in ``folder``.

    Raises:
      FileNotFoundError: no such folder, or no manifest in it.
      ValueError: no JSON, another format, or fields that are missing or are not what
        `record_files.write` writes, one line a fault.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {NAME}: expected a folder that jnf_jax.fit or "
            "jnf_jax.data.record_files.write wrote to its end"
        )
    found = read_json(path, format=int, name=str, splits=dict, shapes=dict)
    if found["format"] != FORMAT:
        raise ValueError(f"{path}: got format {found['format']}, expected {FORMAT}")
    # Sets of before there were floats say nothing of them.
    empty = {"floats": {}, "ranges": {}, "scaling": {}, "spread": {}, "classes": []}
    found = empty | {"partial": [], "kinds": {}, "covariates": []} | found
    if faults := _faults(found):
        raise ValueError("\n".join(f"{path}: {fault}" for fault in faults))
    return found


def num_covariates(found: Mapping[str, Any]) -> int:
    """How many columns the covariates of a data set have, by its manifest."""
    return sum(len(of.get("categories", ())) or 1 for of in found["covariates"])


def _faults(found: Mapping[str, Any]) -> list[str]:
    """What is wrong with the fields, each with the path to it."""
    told: list[str] = []

    def expect(field: str, value: Any, is_right: bool, expected: str) -> None:
        if not is_right:
            told.append(f"`{field}` is {value!r}, expected {expected}")

    classes = found.get("num_classes", "missing")
    is_known = classes is None or _is_count(classes)
    expect("num_classes", classes, is_known, "null or a number >= 1")
    known, names = found["classes"], sorted(found["splits"])
    is_named = isinstance(known, list) and len(known) in (0, classes)
    is_named = is_named and all(isinstance(name, str) for name in known)
    expect("classes", known, is_named, "a name of each of `num_classes`, or none")
    expect("splits", names, names == sorted(SPLITS), f"{sorted(SPLITS)}")
    expect("shapes", found["shapes"], bool(found["shapes"]), "one or more views")
    for m, shape in found["shapes"].items():
        is_shape = isinstance(shape, list) and 1 <= len(shape) <= 3
        is_shape = is_shape and all(map(_is_count, shape))
        expect(f"shapes.{m}", shape, is_shape, "one to three sizes >= 1")
    for split, about in found["splits"].items():
        about = about if isinstance(about, dict) else {}
        size, files = about.get("size"), about.get("files")
        expect(f"splits.{split}.size", size, _is_count(size), "a number of rows >= 1")
        is_listed = isinstance(files, dict) and all(map(_is_count, files.values()))
        expect(f"splits.{split}.files", files, is_listed, "{file: bytes}")
        digest = about.get("sha256")
        expect(f"splits.{split}.sha256", digest, isinstance(digest, str), "text")
    partial, floats = found["partial"], found["floats"]
    are_floats = isinstance(partial, list) and isinstance(floats, dict)
    are_floats = are_floats and all(m in floats for m in partial)
    expect("partial", partial, are_floats, "views of `floats`")
    kinds = found["kinds"]
    are_known = isinstance(kinds, dict) and isinstance(floats, dict)
    are_known = are_known and all(m in floats for m in kinds)
    are_known = are_known and all(kind in KINDS for kind in kinds.values())
    expect("kinds", kinds, are_known, f"{{view of `floats`: one of {KINDS}}}")
    told += _covariate_faults(found["covariates"])
    for field in ("floats", "ranges", "scaling", "spread"):
        section = found[field]
        expect(field, section, isinstance(section, dict), "an object")
        for m, about in section.items() if isinstance(section, dict) else ():
            expect(f"{field}.{m}", about, m in found["shapes"], "a view of `shapes`")
            if field == "spread":
                expect(f"spread.{m}", about, _is_number(about), "a number")
            elif field in ("floats", "ranges"):
                expect(f"{field}.{m}", about, _are_numbers(about, 2), "two numbers")
            else:
                sizes = found["shapes"].get(m)
                last = sizes[-1] if isinstance(sizes, list) and sizes else None
                is_scaling = isinstance(about, dict) and all(
                    _are_numbers(about.get(name), last) for name in ("mean", "scale")
                )
                # Older sets name no rule, as there was one alone.
                is_scaling = is_scaling and about.get("rule", SCALED[0]) in SCALED
                expected = f"{last} means and scales, by one of {SCALED}"
                expect(f"scaling.{m}", about, is_scaling, expected)
    return told


def _covariate_faults(found: Any) -> list[str]:
    if isinstance(found, list) and all(map(_is_covariate, found)):
        return []
    expected = "objects with a name, and categories or a mean and a scale"
    return [f"`covariates` is {found!r}, expected {expected}"]


def _is_covariate(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return False
    if value.keys() == {"name", "categories"}:
        known = value["categories"]
        return isinstance(known, list) and all(isinstance(x, str) for x in known)
    is_whole = value.keys() == {"name", "mean", "scale"}
    return is_whole and all(_is_number(value[x]) for x in ("mean", "scale"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_numbers(value: Any, length: int | None) -> bool:
    is_list = isinstance(value, list) and len(value) == length
    return is_list and all(map(_is_number, value))
