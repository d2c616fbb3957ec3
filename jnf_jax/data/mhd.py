"""`mhd`: Multimodal Handwritten Digits (Vasco et al., 2022), from its published files.

A digit as a picture, as the trajectory of the pen, and spoken. In ``data_dir`` lie
``mhd_train.pt`` and ``mhd_test.pt``, each a ``torch.save`` of six entries::

    classes        [N], 0 to 9
    pictures       [N, C, 28, 28], C = 1 or 3, in [0, 1]
    trajectories   [N, 200], 100 of x and then 100 of y
    sounds         [N, blocks, steps, 32], blocks · steps = 128 (or [N, 1, 32, 128])
    two more       how trajectories and sounds were normalised: not read

No published text says all this: it is how the code of others reads them. Tested on
files made like that, never on the real ones; what differs from it is refused. The
sibling whose data anyone can have is `handwriting`.
"""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jnf_jax.data import dataset, pairing, rendering, strokes, torch_file
from jnf_jax.data.tfds_cache import cached, stamps
from jnf_jax.options import option

FILES = {"train": "mhd_train.pt", "test": "mhd_test.pt"}
NUM_MELS, NUM_FRAMES, NUM_POINTS, SIDE = 32, 128, 100, 28
_LAYOUTS = {
    "image": "[N, 1 or 3, 28, 28]",
    "trajectory": "[N, 200]",
    "audio": "[N, blocks, steps, 32] with 128 steps in all, or [N, 1, 32, 128]",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `mhd`."""

    seed: int = option(42, "Seed of the split.", between=(0, 2**31 - 1))
    validation_fraction: float = option(
        0.1, "Share of the published training tuples.", between=(0.001, 0.5)
    )
    data_dir: str = option("", "Folder of the two files.")
    cache_dir: str = option("", "Folder for the arrays; '' for ~/.cache/jnf_jax.")


def load(settings: Settings) -> dataset.Dataset:
    """Reads the files (the first time), and takes validation from the training ones.

    Sounds and trajectories are put on the 256 levels between the least and the largest
    value of the training file; the record has these as ``ranges``.

    Raises:
      FileNotFoundError: a file is missing; all missing ones are named.
      ValueError: a file with other contents than the module describes.
    """
    about = "as the authors of MHD publish them"
    root = dataset.find_files(settings.data_dir, FILES.values(), about)
    about = {"files": stamps(root / name for name in FILES.values())}
    stored = cached("mhd", about, settings.cache_dir, lambda: _build(root))
    kept, carved = pairing.hold_out(
        stored["labels_train"], settings.validation_fraction, seed=settings.seed
    )
    splits = {}
    for split, own, rows in (
        ("train", "train", kept),
        ("validation", "train", carved),
        ("test", "test", slice(None)),
    ):
        labels = stored[f"labels_{own}"][rows]
        arrays = {m: stored[f"{m}_{own}"][rows] for m in sorted(_LAYOUTS)}
        splits[split] = dataset.Split(arrays, len(labels), labels)
    ranges = {m: stored[f"range_{m}"].tolist() for m in ("audio", "trajectory")}
    return dataset.Dataset(
        name="mhd",
        shapes={m: x.shape[1:] for m, x in splits["train"].arrays.items()},
        splits=splits,
        fetch=rendering.fetch_stored,
        num_classes=10,
        record=dataset.build_record(settings, splits) | {"ranges": ranges},
        presentations={"trajectory": dataset.Presentation(picture=draw)},
    )


def draw(
    trajectories: Float[np.ndarray, "count points 2"],
) -> Float[np.ndarray, "count height width 1"]:
    """Drawings in [0, 1]: one line through all points, y downwards."""
    lifted = np.zeros_like(trajectories[..., :1])
    return strokes.draw(np.concatenate([trajectories, lifted], axis=-1))


def _build(root: Path) -> dict[str, np.ndarray]:
    """All arrays of both files, named ``<what>_<split>``; and the training ranges."""
    arrays: dict[str, np.ndarray] = {}
    for split, name in FILES.items():
        where, found = f"{root / name}", torch_file.load_tuple(root / name)
        if len(found) != 6 or any(tensor is None for tensor in found[:4]):
            raise ValueError(
                f"{where}: got {len(found)} entries, expected six, of which the first "
                "four are tensors: classes, pictures, trajectories and sounds"
            )
        tensors = dict(zip(("labels", *_LAYOUTS), found[:4], strict=True))
        labels = tensors.pop("labels")
        arrays[f"labels_{split}"] = dataset.check_labels(
            labels, size=labels.size, num_classes=10, where=f"{where}: classes"
        )
        dataset.check_same_rows({"labels": labels, **tensors}, where)
        for modality, tensor in tensors.items():
            event = _event(modality, tensor, f"{where}: {modality}")
            if modality != "image":
                bounds = np.array([event.min(), event.max()])
                low, high = arrays.setdefault(f"range_{modality}", bounds)
                event = np.clip((event - low) / max(high - low, 1e-12), 0.0, 1.0)
            levels = rendering.to_bytes(event, f"{where}: {modality}")
            arrays[f"{modality}_{split}"] = np.ascontiguousarray(levels)
    return arrays


def _event(modality: str, x: np.ndarray, where: str) -> np.ndarray:
    """Pictures [N, 28, 28, C], points [N, 100, 2], or sounds [N, 32, 128, 1]."""
    shape = x.shape[1:]
    if modality == "image" and shape in ((1, SIDE, SIDE), (3, SIDE, SIDE)):
        return x.transpose(0, 2, 3, 1)
    if modality == "trajectory" and shape == (2 * NUM_POINTS,):
        return x.reshape(-1, 2, NUM_POINTS).transpose(0, 2, 1)
    if modality == "audio" and shape == (1, NUM_MELS, NUM_FRAMES):
        return x.transpose(0, 2, 3, 1)
    is_blocks = len(shape) == 3 and shape[2] == NUM_MELS
    if modality == "audio" and is_blocks and shape[0] * shape[1] == NUM_FRAMES:
        return x.reshape(-1, NUM_FRAMES, NUM_MELS).transpose(0, 2, 1)[..., None]
    raise ValueError(f"{where}: got shape {x.shape}, expected {_LAYOUTS[modality]}")
