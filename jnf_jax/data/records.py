"""`records`: a data set of your own, of any size, in array_record files.

`record_files.write` writes it from any iterator, a part at a time, so that neither
writing nor training ever holds it whole; small ones still go to the device
(`data.placement`).
"""

import dataclasses

from jnf_jax.data import dataset, record_files
from jnf_jax.options import option
from jnf_jax.runtime.files import user_path


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `records`."""

    records_dir: str = option("", "Folder that `record_files.write` wrote.")
    cache_dir: str = option("", "Folder for classifiers; '' for ~/.cache/jnf_jax.")


def load(settings: Settings) -> dataset.Dataset:
    """Opens the files, as `record_files.open_dataset`; reads no picture yet."""
    if not settings.records_dir:
        raise ValueError(
            "`data.records_dir` is '', expected the folder of the records; "
            "jnf_jax.train makes one of --config.data.path=FILE"
        )
    folder = user_path(settings.records_dir, "data.records_dir")
    return record_files.open_dataset(folder)
