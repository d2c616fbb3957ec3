"""Prepares an image set with TensorFlow Datasets, as array_record. Needs TensorFlow.

  pip install 'jnf_jax[prepare]'
  python -m jnf_jax.data.prepare mnist --data_dir=~/tensorflow_datasets

Once it is prepared, everything else reads it without TensorFlow. (TFDS's own command,
``tfds build``, does the same but also imports Apache Beam, which we do not need.)
"""

import argparse
import importlib.util
import sys
from pathlib import Path

from jnf_jax.data.tfds_cache import ARRAY_RECORD, default_data_dir
from jnf_jax.runtime.files import user_path

NAMES = ("caltech_birds2011", "mnist", "svhn_cropped")


def prepare(name: str, data_dir: str) -> Path:
    """Downloads and prepares one set of `NAMES`; returns the folder it is in.

    Raises:
      ModuleNotFoundError: TensorFlow is not installed.
      FileExistsError: the set is there in another format.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ModuleNotFoundError(
            f"preparing {name!r} needs TensorFlow: pip install 'jnf_jax[prepare]'"
        )
    import tensorflow_datasets as tfds

    present = tfds.builder(name, data_dir=data_dir)
    found = present.info.file_format.value if present.is_prepared() else ARRAY_RECORD
    if found != ARRAY_RECORD:
        raise FileExistsError(
            f"`data_dir`: {present.data_path} holds {name!r} as {found}, expected "
            f"{ARRAY_RECORD}; give another data_dir, or remove that folder"
        )
    builder = tfds.builder(name, data_dir=data_dir, file_format=ARRAY_RECORD)
    builder.download_and_prepare()
    return Path(builder.data_path)


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line and prepares each set that it names."""
    parser = argparse.ArgumentParser(
        prog="python -m jnf_jax.data.prepare",
        description="Prepare image sets with TensorFlow Datasets (array_record).",
    )
    known = ", ".join(NAMES)
    parser.add_argument("names", nargs="+", choices=NAMES, metavar="name", help=known)
    parser.add_argument("--data_dir", default=default_data_dir(), help="TFDS folder")
    options = parser.parse_args(arguments)
    for name in options.names:
        try:
            place = prepare(name, str(user_path(options.data_dir, "--data_dir")))
        except (ModuleNotFoundError, FileExistsError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{name}: {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
