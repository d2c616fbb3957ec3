"""Images from prepared TensorFlow Datasets, decoded once to a checked uint8 cache.

Reading needs no TensorFlow: `tfds.data_source` reads array_record files and Pillow (or
OpenCV) decodes the pictures. Preparing does: `python -m jnf_jax.data.prepare`.
"""

import contextlib
import fcntl
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jnf_jax.content_keys import content_key
from jnf_jax.data.dataset import checksum
from jnf_jax.runtime.files import try_folder, user_path, write_whole

ARRAY_RECORD = "array_record"
_CHUNK = 1000


def default_data_dir() -> str:
    """``$TFDS_DATA_DIR``, else TFDS's own default."""
    return os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"


def cache_root(cache_dir: str | Path = "") -> Path:
    """The folder of all caches: ``cache_dir``, or for '' the user's.

    That is ``$XDG_CACHE_HOME/jnf_jax``, or ``~/.cache/jnf_jax`` without the variable.

    Raises:
      ValueError: it would be in a home directory, and there is none.
    """
    if cache_dir:
        return user_path(cache_dir, "data.cache_dir")
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(root, cache_argument()) / "jnf_jax"


def cache_argument(cache_dir: str | Path = "") -> str:
    """What a user changes so that caches go elsewhere."""
    return "data.cache_dir" if cache_dir else "XDG_CACHE_HOME"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Whoever else wants to fill ``folder`` waits; then finds it filled.

    The lock belongs to the process, so that one that is killed holds nobody up.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def find_prepared(name: str, data_dir: str = "") -> Path:
    """The folder of the newest prepared version of a TFDS set, in array_record format.

    ``name`` is TFDS's, e.g. "mnist"; ``data_dir`` '' is `default_data_dir`.

    Raises:
      FileNotFoundError: not there, or in another format; gives the command that
        prepares it.
    """
    place = data_dir or default_data_dir()
    root = user_path(place, "data.data_dir").absolute()
    formats = {}
    for info in root.glob(f"{name}/*/dataset_info.json"):
        version = info.parent.name.split(".")
        if len(version) == 3 and all(part.isdigit() for part in version):
            facts = json.loads(info.read_text())
            formats[tuple(map(int, version))] = facts.get("fileFormat", "tfrecord")
    usable = [version for version, kind in formats.items() if kind == ARRAY_RECORD]
    if usable:
        return root / name / ".".join(map(str, max(usable)))
    found = f"only {sorted(set(formats.values()))} files" if formats else "nothing"
    target = root if not formats else f"{root}_{ARRAY_RECORD}"
    raise FileNotFoundError(
        f"`data_dir`: expected {name!r} prepared as {ARRAY_RECORD} in {root}, found "
        f"{found}. Prepare it once (needs TensorFlow, and a network) with\n"
        f"  pip install 'jnf_jax[prepare]' && "
        f"python -m jnf_jax.data.prepare {name} --data_dir={target}\n"
        "or say where it is: set TFDS_DATA_DIR or the data_dir of the data settings."
    )


def load_images(
    name: str, split: str, *, data_dir: str = "", cache_dir: str = "", side: int = 0
) -> dict[str, np.ndarray]:
    """Images of one split of a TFDS image set, and their labels or file names.

    They are read from ``data_dir``, where TFDS has prepared them, and kept decoded in
    ``cache_dir``. With a ``side`` pictures of any shape are reduced to squares of so
    many pixels (bilinear).

    Returns:
      "images" u8[n, height, width, channel]; "labels" i32[n], or "names" str[n] where
      ``side`` is given.

    Raises:
      FileNotFoundError: the set is not prepared; gives the command that prepares it.
    """
    folder = find_prepared(name, data_dir)
    # Another preparation of the same version (a subset, say) has its own entry.
    files = sorted(folder.glob(f"*-{split}.*"))
    about = {
        "files": [[path.name, path.stat().st_size] for path in files],
        "info": (folder / "dataset_info.json").read_text(),
        "side": side,
    }
    set_name = f"{name}-{folder.name}-{split}"
    return cached(
        set_name, about, cache_dir, lambda: _decode(name, split, folder, side)
    )


SIZES = {
    "mnist": ((28, 28, 1), {"train": 60_000, "test": 10_000}),
    "svhn_cropped": ((32, 32, 3), {"train": 73_257, "test": 26_032}),
}
"""Name -> shape of an image, and number of images by split, as published."""


def blank_images(
    name: str, split: str, *, data_dir: str = "", cache_dir: str = ""
) -> dict[str, np.ndarray]:
    """As many images as ``load_images`` would give, all black, of ten equal classes.

    For whoever wants to know what a set's shapes need, and has no files of it.
    """
    del data_dir, cache_dir
    shape, sizes = SIZES[name]
    images = np.zeros((sizes[split], *shape), np.uint8)
    return {"images": images, "labels": np.arange(len(images), dtype=np.int32) % 10}


def _decode(name: str, split: str, folder: Path, side: int) -> dict[str, np.ndarray]:
    import tensorflow_datasets as tfds

    source = tfds.data_source(
        f"{name}:{folder.name}",
        split=split,
        data_dir=folder.parent.parent,
        download=False,
    )
    images, known = [], []
    for start in range(0, len(source), _CHUNK):
        rows = list(range(start, min(start + _CHUNK, len(source))))
        for example in source.__getitems__(rows):
            images.append(resize(example["image"], side) if side else example["image"])
            known.append(example["image/filename" if side else "label"])
    if side:
        return {"images": np.stack(images), "names": np.char.decode(known)}
    return {"images": np.stack(images), "labels": np.array(known, np.int32)}


def resize(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture as a square, bilinear, as Pillow does it: u8[side, side, ...]."""
    from PIL import Image

    how = Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize((side, side), how))


def stamps(paths: Iterable[Path]) -> list[list[Any]]:
    """Place, size and time of files, which tell them from others without a reading."""
    told = [(path.resolve(), path.stat()) for path in paths]
    return [[str(path), found.st_size, found.st_mtime_ns] for path, found in told]


def cached(
    name: str,
    about: dict[str, Any],
    cache_dir: str,
    build: Callable[[], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Arrays computed from ``about``: from the cache, or built and put there.

    Their folder, under ``name``, holds ``<array>.npy`` for each and ``sha256.json``,
    written last; every file appears by an atomic rename. A file that does not match its
    checksum is named in a warning and everything is built again.
    """
    folder = cache_root(cache_dir) / f"{name}-{content_key('decoded', about)}"
    manifest = folder / "sha256.json"
    if manifest.exists():
        try:
            return _read(folder, json.loads(manifest.read_text()))
        except (ValueError, OSError, EOFError) as error:
            warnings.warn(
                f"the cache in {folder} is damaged and is built again: {error}",
                stacklevel=2,
            )
    try_folder(folder, cache_argument(cache_dir))
    arrays = build()
    folder.mkdir(parents=True, exist_ok=True)
    for key, array in arrays.items():
        write_whole(folder / f"{key}.npy", lambda file, a=array: np.save(file, a))
    sums = json.dumps({key: checksum(array) for key, array in arrays.items()})
    write_whole(manifest, sums)
    return arrays


def _read(folder: Path, sums: dict[str, str]) -> dict[str, np.ndarray]:
    arrays = {}
    for name, expected in sums.items():
        path = folder / f"{name}.npy"
        arrays[name] = np.load(path, allow_pickle=False)
        if checksum(arrays[name]) != expected:
            raise ValueError(f"{path} does not match its checksum")
    return arrays
