"""`records`: a data set of your own, of any size, in array_record files.

`record_files.write` writes it from any iterator, a part at a time, so that neither
writing nor training ever holds it whole; small ones still go to the device
(`data.placement`).
"""

import dataclasses
from pathlib import Path

from jnf_jax.data import dataset, record_files


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `records`.

    Attributes:
      records_dir: the folder that `record_files.write` wrote.
      cache_dir: for classifiers; '' for ~/.cache/jnf_jax.
    """

    records_dir: str = ""
    cache_dir: str = ""

    def faults(self) -> list[str]:
        """Every bad field, one line each; empty when the settings are good."""
        return dataset.find_faults(self, {})


def load(settings: Settings) -> dataset.Dataset:
    """Opens the files; reads no picture yet.

    Raises:
      FileNotFoundError: no finished data set in `records_dir`.
      ValueError: bad settings, or damaged files.
    """
    dataset.require(settings)
    if not settings.records_dir:
        raise ValueError("data.records_dir: got '', expected the folder of the records")
    return record_files.open_dataset(Path(settings.records_dir).expanduser())
