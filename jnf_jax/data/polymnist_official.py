"""The published PolyMNIST pictures, as tensors or as PNG files, checked and cached.

The archive (Zenodo record 4899160, or the tensors that MultiVae reads) unpacks to
``MMNIST/{train,test}`` with either ``m0.pt … labels.pt`` or folders ``m0 …`` of files
``<index>.<digit>.png``.
"""

import hashlib
from pathlib import Path

import numpy as np

from jnf_jax.data import tfds_cache, torch_file

SIDE = 28
FORMS = "<official_dir>/{train,test}/m0.pt … labels.pt, or …/m0/<index>.<digit>.png"


def load_split(
    official_dir: str, split: str, modalities: tuple[str, ...], cache_dir: str
) -> dict[str, np.ndarray]:
    """One published split, decoded once to a checked cache.

    Args:
      official_dir: the unpacked folder, with or without the last part ``MMNIST``.
      split: "train" or "test".
      modalities: names "m0", "m1", …
      cache_dir: for decoded images; '' for the default.

    Returns:
      {modality: u8[n, 28, 28, 3], "labels": i32[n]}.

    Raises:
      FileNotFoundError: neither form is there.
      ValueError: NaN, a wrong shape or range, or tuples that do not match.
    """
    root = Path(official_dir).expanduser()
    folder = next(
        (f for f in (root / split, root / "MMNIST" / split) if f.is_dir()), None
    )
    if folder is None:
        raise FileNotFoundError(
            f"data.official_dir: no {root / split}; expected {FORMS}"
        )
    tensors = (folder / f"{modalities[0]}.pt").exists()
    names = [f"{m}.pt" for m in (*modalities, "labels")] if tensors else modalities
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"data.official_dir: {folder} lacks {missing}; expected {FORMS}"
        )
    stamps = [(n, (s := (folder / n).stat()).st_size, s.st_mtime_ns) for n in names]
    identity = hashlib.sha256(repr((str(folder.resolve()), stamps)).encode())
    place = f"polymnist-official-{identity.hexdigest()[:12]}"
    read = _read_tensors if tensors else _read_pngs
    return tfds_cache.load_or_build(
        tfds_cache.cache_root(cache_dir) / place, lambda: read(folder, modalities)
    )


def _read_tensors(folder: Path, modalities: tuple[str, ...]) -> dict[str, np.ndarray]:
    labels = torch_file.load_tensor(folder / "labels.pt")
    if labels.ndim != 1 or not np.isin(labels, np.arange(10)).all():
        raise ValueError(
            f"{folder / 'labels.pt'}: got shape {labels.shape}, expected [n] of 0 to 9"
        )
    arrays = {"labels": labels.astype(np.int32)}
    for name in modalities:
        path = folder / f"{name}.pt"
        pixels = torch_file.load_tensor(path)
        shape = (len(labels), 3, SIDE, SIDE)
        if pixels.shape != shape:
            raise ValueError(f"{path}: got shape {pixels.shape}, expected {shape}")
        arrays[name] = to_bytes(pixels, str(path)).transpose(0, 2, 3, 1)
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def to_bytes(pixels: np.ndarray, name: str) -> np.ndarray:
    """8-bit pixels: u8 as it is; float in [0, 1] times 255, rounded.

    Args:
      pixels: u8 or float array.
      name: what the messages call it.

    Raises:
      ValueError: another dtype, NaN or infinity, or values outside [0, 1].
    """
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"{name}: got dtype {pixels.dtype}, expected uint8 or float")
    bad = int((~np.isfinite(pixels)).sum())
    if bad:
        raise ValueError(f"{name}: {bad} values are NaN or infinite, expected none")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0.0 or high > 1.0:
        raise ValueError(f"{name}: got values in [{low}, {high}], expected [0, 1]")
    return np.round(pixels * 255.0).astype(np.uint8)


def _read_pngs(folder: Path, modalities: tuple[str, ...]) -> dict[str, np.ndarray]:
    from PIL import Image

    first, arrays = None, {}
    for modality in modalities:
        files = {}
        for path in (folder / modality).glob("*.png"):
            index, _, digit = path.stem.partition(".")
            if not (index.isdigit() and digit in set("0123456789")):
                raise ValueError(f"{path}: expected a name <index>.<digit>.png")
            files[int(index), int(digit)] = path
        rows = sorted(files)
        if not rows or (first is not None and rows != first):
            raise ValueError(
                f"{folder / modality}: its {len(rows)} indices and digits do not match "
                f"those of {modalities[0]}"
            )
        first = rows
        pictures = np.empty((len(rows), SIDE, SIDE, 3), np.uint8)
        for place, row in enumerate(rows):
            with Image.open(files[row]) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            if pixels.shape != (SIDE, SIDE, 3):
                raise ValueError(
                    f"{files[row]}: got shape {pixels.shape}, expected (28, 28, 3)"
                )
            pictures[place] = pixels
        arrays[modality] = pictures
    return {**arrays, "labels": np.array([digit for _, digit in first], np.int32)}
