"""What an evaluation has found so far, kept in files until its record is written.

Chains take most of an evaluation, up to half an hour; one that is stopped goes on with
the first subset that it had not done.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jnf_jax.content_keys import content_key
from jnf_jax.data.tfds_cache import write_whole
from jnf_jax.evaluation.protocol import SubsetDraws
from jnf_jax.runtime import processes


class Kept:
    """One file a subset in a folder of its own; ``discard`` removes them all.

    Every process of a run has one; the first writes, and all see one file system.

    Attributes:
        seconds: That it took before to find what was read this time.
    """

    def __init__(
        self,
        root: Path,
        about: Mapping[str, Any],
        report: Callable[[str], None] = lambda line: None,
    ):
        """Files of ``root`` count where ``about`` was the same.

        Args:
            root: Folder of this run's evaluations; made when something is kept.
            about: All that draws and their labels depend on; see `content_keys`.
            report: Called with a line for each subset that is read.
        """
        self.seconds = 0.0
        self._root = Path(root)
        self._directory = self._root / content_key("draws", about)
        self._report = report

    def remember(self, name: str, work: Callable[[], SubsetDraws]) -> SubsetDraws:
        """What ``work`` found before, or finds now, which is then kept.

        Draws without chains are not: to repeat them takes no longer than to read them.
        """
        path = self._directory / f"{name}.npz"
        if processes.any_of_all(path.exists()):
            self._report(f"given {name}: read from {path}")
            return self._read(path)
        begin = time.monotonic()
        found = work()
        if found.quality is not None and processes.is_first():
            _write(path, found, time.monotonic() - begin)
        return found

    def discard(self) -> None:
        """Once the record holds it all."""
        if processes.is_first():
            shutil.rmtree(self._root, ignore_errors=True)

    def _read(self, path: Path) -> SubsetDraws:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            predicted = {m: stored[f"predicted/{m}"] for m in about["predicted"]}
            self.seconds += about["seconds"]
            return SubsetDraws(predicted, stored["z"], about["quality"])


def _write(path: Path, found: SubsetDraws, seconds: float) -> None:
    about = {
        "predicted": list(found.predicted),
        "quality": found.quality,
        "seconds": seconds,
    }
    arrays = {f"predicted/{m}": labels for m, labels in found.predicted.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays |= {"z": found.z, "about": np.array(json.dumps(about))}
    write_whole(path, lambda stream: np.savez(stream, **arrays))
