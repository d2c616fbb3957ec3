"""A run goes on from the checkpoints of its own identity, and of no other."""

import re
from pathlib import Path
from typing import Any

ADDED = re.compile(r"(config\.)?data\.(shapes|dtypes)\.")
"""Entries that identities of earlier versions lack; then checksums alone tell."""


def check_identity(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises ValueError listing every key in which two identities differ.

    ``stored`` is the identity in the checkpoint at ``path``, ``wanted`` this run's.
    """
    there, here = _flatten(stored), _flatten(wanted)
    lines = []
    for name in sorted(there.keys() | here.keys()):
        then, now = there.get(name, "nothing"), here.get(name, "nothing")
        if then != now and not (ADDED.match(name) and name not in there):
            lines.append(f"\n  {name}: checkpoint {then!r}, now {now!r}")
    if lines:
        raise ValueError(
            f"{path.parent} holds another config: use another workdir, or the config "
            f"that it was made with. They differ in{''.join(lines)}"
        )


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested JSON as dotted keys."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat
