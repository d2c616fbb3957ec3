"""Pytrees by key path: as flat dictionaries, compared strictly, hashed, nested again.

A key path is a tuple of texts, such as ``("encoder", "Dense_0", "kernel")``; the field
of a NamedTuple, the key of a dictionary and the index of a tuple look alike in it.
"""

import hashlib
from typing import Any

import jax
import numpy as np


def check_leaves(what: str, stored: dict, wanted: dict) -> None:
    """Compares names, shapes and dtypes of two flat trees, {key path: leaf}.

    Raises:
      ValueError: begins with ``what`` and lists each leaf that is missing (+),
        superfluous (-) or different (≠).
    """
    lines = []
    for name in sorted(wanted.keys() | stored.keys()):
        path = join_path(name)
        got, expected = (
            _describe(tree[name]) if name in tree else "" for tree in (stored, wanted)
        )
        if not got:
            lines.append(f"+ {path} {expected}: not in the checkpoint")
        elif not expected:
            lines.append(f"- {path} {got}: only in the checkpoint")
        elif got != expected:
            lines.append(f"≠ {path}: got {got}, expected {expected}")
    if lines:
        told = "\n  ".join(lines)
        raise ValueError(
            f"{what} does not fit (+ missing, - superfluous, ≠ different):\n  {told}"
        )


def join_path(name: tuple[str, ...]) -> str:
    """A key path as one text, for messages: "encoder/Dense_0/kernel"."""
    return "/".join(name)


def flatten_tree(tree: Any) -> dict[tuple[str, ...], Any]:
    """Leaves by key path, in the order of ``jax.tree.leaves``.

    Raises:
      ValueError: a bare leaf, or two key paths that are the same text.

    >>> flatten_tree({"encoder": [1.0, 2.0]})
    {('encoder', '0'): 1.0, ('encoder', '1'): 2.0}
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    flat = {
        tuple(jax.tree_util.keystr((key,), simple=True) for key in path): leaf
        for path, leaf in leaves
    }
    if len(flat) != len(leaves) or () in flat:
        raise ValueError(
            "expected a pytree, not a bare leaf, whose key paths differ as text, got "
            f"{jax.tree.structure(tree)}"
        )
    return flat


def nest_tree(flat: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    """Nested plain dictionaries, so that Orbax alone can read what was saved."""
    tree: dict[str, Any] = {}
    for name, leaf in flat.items():
        node = tree
        for key in name[:-1]:
            node = node.setdefault(key, {})
        node[name[-1]] = leaf
    return tree


def digest_tree(tree: Any) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and values of all leaves.

    It depends on nothing else, the structure's types neither. The arrays are whole on
    this process.
    """
    digest = hashlib.sha256()
    for name, leaf in sorted(flatten_tree(tree).items()):
        digest.update(f"{join_path(name)} {_describe(leaf)}\n".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _describe(leaf: Any) -> str:
    return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"
