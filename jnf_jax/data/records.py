"""`records`: a data set of your own, of any size, in array_record files.

`record_files.write` writes it from any iterator, a part at a time, so that neither
writing nor training ever holds it whole; small ones still go to the device
(`data.placement`).
"""

import dataclasses
from pathlib import Path

from jnf_jax.data import dataset, record_files
from jnf_jax.options import option, require


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `records`."""

    records_dir: str = option("", "Folder that `record_files.write` wrote.")
    cache_dir: str = option("", "Folder for classifiers; '' for ~/.cache/jnf_jax.")


def load(settings: Settings) -> dataset.Dataset:
    """Opens the files; reads no picture yet.

    Raises:
      FileNotFoundError: no finished data set in `records_dir`.
      ValueError: bad settings, or damaged files.
    """
    require(settings, "data")
    if not settings.records_dir:
        raise ValueError("`data.records_dir` is '', expected the folder of the records")
    return record_files.open_dataset(Path(settings.records_dir).expanduser())
