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
    differing = _differences(stored, wanted)
    lines = [f"\n  {k}: checkpoint {a!r}, now {b!r}" for k, (a, b) in differing.items()]
    if lines:
        raise ValueError(
            f"{path.parent} holds another config: use another workdir, or the config "
            f"that it was made with. They differ in{''.join(lines)}"
        )


def continuation(
    path: Path, stored: dict[str, Any], wanted: dict[str, Any], step: int
) -> list[dict[str, int]]:
    """What a run continues: {"step", "num_steps"} of each run before, oldest first.

    A run may be given more steps than it was made with. What comes then depends on
    both numbers, so the checkpoint keeps where each of them ended.

    Args:
      path: of the checkpoint, ``step`` steps from the start.
      stored: its metadata.
      wanted: this run's identity.

    Raises:
      ValueError: as ``check_identity``, if anything differs but ``num_steps``, or that
        became less.
    """
    before, identity = list(stored.get("continued", [])), stored["identity"]
    differing = _differences(identity, wanted)
    then, now = differing.pop("settings.num_steps", (0, 0))
    if differing or then > now:
        check_identity(path, identity, wanted)
    return [*before, {"step": step, "num_steps": then}] if then < now else before


def _differences(
    stored: dict[str, Any], wanted: dict[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """{dotted key: (value in the checkpoint, value now)}, sorted."""
    there, here = _flatten(stored), _flatten(wanted)
    found = {}
    for name in sorted(there.keys() | here.keys()):
        then, now = there.get(name, "nothing"), here.get(name, "nothing")
        if then != now and not (ADDED.match(name) and name not in there):
            found[name] = then, now
    return found


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested JSON as dotted keys."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat
