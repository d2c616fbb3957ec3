"""Keeps in files what an evaluation has found, until its record is written.

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
from jnf_jax.evaluation.protocol import SubsetDraws
from jnf_jax.names import file_name
from jnf_jax.runtime import processes
from jnf_jax.runtime.files import npz, write_whole


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
        """Files of ``root`` count where ``about``, on which draws depend, was the same.

        ``report`` is called with a line for each subset that is read.
        """
        self.seconds = 0.0
        self._root = Path(root)
        self._directory = self._root / content_key("draws", about)
        self._report = report

    def remember(self, name: str, work: Callable[[], SubsetDraws]) -> SubsetDraws:
        """Returns what ``work`` found before, or finds now, which is then kept.

        Draws without chains are not: to repeat them takes no longer than to read them.
        """
        path = self._directory / f"{file_name(name)}.npz"
        if processes.any_of_all(path.exists()):
            self._report(f"given {name}: read from {path}")
            with np.load(path, allow_pickle=False) as stored:
                about = json.loads(str(stored["about"]))
                predicted = {m: stored[f"predicted/{m}"] for m in about["predicted"]}
                self.seconds += about["seconds"]
                rest = (about["quality"], about["draws_per_second"])
                return SubsetDraws(predicted, stored["z"], *rest)
        begin = time.monotonic()
        found = work()
        if found.quality is not None and processes.is_first():
            about = {"predicted": [*found.predicted], "quality": found.quality}
            about["seconds"] = time.monotonic() - begin
            about["draws_per_second"] = found.draws_per_second
            arrays = {f"predicted/{m}": own for m, own in found.predicted.items()}
            arrays |= {"z": found.z, "about": np.array(json.dumps(about))}
            try:
                write_whole(path, npz(arrays))
            except OSError as error:  # what was found is more than its keeping
                self._report(f"warning: draws given {name} are not kept: {error}")
        return found

    def discard(self) -> None:
        """Once the record holds it all."""
        if processes.is_first():
            shutil.rmtree(self._root, ignore_errors=True)
