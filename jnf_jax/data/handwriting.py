"""`handwriting`: a written digit as picture and as pen trajectory, and a spoken one.

Pictures are MNIST's, trajectories the strokes of the very same digits, so these two are
true pairs; speech is the Free Spoken Digit Dataset, paired by class, as in MHD (Vasco
et al., 2022), whose offline sibling this is. No image is in two splits, and no speaker.

In ``data_dir``, arrays without pickles; N is MNIST's 60,000 or 10,000, in its order::

    mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz    as published
    mnist_strokes.npz   seq_train, seq_test   i8[N, L, 4]  dx, dy, end of stroke, end
                        len_train, len_test   u8[N]        steps of each
                        y_train, y_test       u8[N]        classes, as MNIST's
    fsdd_wave.npz       wave      i16[S]   all clips end to end, 8 kHz
                        length    i32[K]   samples of each clip
                        y, speaker  u8[K]  class; number of its speaker
                        speaker_names  str[P]

Sources: github.com/edwin-de-jong/mnist-digits-stroke-sequence-data (de Jong, 2016) and
github.com/Jakobovski/free-spoken-digit-dataset.
"""

import dataclasses
import functools
import gzip
import math
from hashlib import sha256
from pathlib import Path

import numpy as np

from jnf_jax.data import dataset, pairing, rendering, speech, strokes
from jnf_jax.data.tfds_cache import cached
from jnf_jax.options import among, option

NUM_POINTS = 64
SHAPES = {
    "image": (28, 28, 1),
    "speech": (speech.NUM_MELS, speech.NUM_FRAMES, 1),
    "trajectory": (NUM_POINTS, 3),
}
FILES = (
    "mnist/train-images-idx3-ubyte.gz",
    "mnist/train-labels-idx1-ubyte.gz",
    "mnist/t10k-images-idx3-ubyte.gz",
    "mnist/t10k-labels-idx1-ubyte.gz",
    "mnist_strokes.npz",
    "fsdd_wave.npz",
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `handwriting`."""

    seed: int = option(42, "Seed of split and pairing.", between=(0, 2**31 - 1))
    multiplier: int = option(
        1, "Passes over the training digits, each with other speech.", between=(1, 1000)
    )
    validation_fraction: float = option(
        0.1, "Share of MNIST's training digits.", between=(0.001, 0.5)
    )
    validation_speaker: str = option("nicolas", "Only validation hears this speaker.")
    test_speaker: str = option("theo", "Only the test hears this speaker.")
    data_dir: str = option("", "Folder of the files; see above.")
    cache_dir: str = option("", "Folder for computed arrays; '' for ~/.cache/jnf_jax.")

    def cross_faults(self, field: str) -> list[str]:
        """Validation and test need speakers of their own."""
        if self.validation_speaker != self.test_speaker:
            return []
        return [
            f"`{field}.test_speaker` is {self.test_speaker!r}, expected another than "
            "`validation_speaker`"
        ]


def load(settings: Settings) -> dataset.Dataset:
    """Reads the files (resampling and transforming the first time), splits, pairs.

    Raises:
      FileNotFoundError: a file is missing; all missing ones are named.
      ModuleNotFoundError: librosa is not installed, and nothing is cached.
      ValueError: a speaker that is not in the file; files with unequal numbers of
        digits, or other classes.
    """
    root = dataset.find_files(
        settings.data_dir,
        FILES,
        "as the docstring of jnf_jax.data.handwriting describes them",
    )
    about = {name: sha256((root / name).read_bytes()).hexdigest() for name in FILES}
    arrays = cached("handwriting", about, settings.cache_dir, lambda: _build(root))
    labels, count = arrays["labels"], int(arrays["num_train"])
    kept, carved = pairing.hold_out(
        labels[:count], settings.validation_fraction, seed=settings.seed
    )
    digits = (kept, carved, np.arange(count, len(labels)))
    splits = {}
    clips = _split_speakers(settings, arrays["speakers"], arrays["speaker_names"])
    for split, own, heard in zip(dataset.SPLITS, digits, clips, strict=True):
        rows, of_class = pairing.pair_by_class(
            [labels[own], arrays["speech_labels"][heard]],
            repeats=settings.multiplier if split == "train" else 1,
            seed=settings.seed,
            split=split,
            reuse=True,
        )
        of_split = {
            "image": arrays["images"][own],
            "trajectory": arrays["trajectories"][own],
            "speech": arrays["speech"][heard],
            "pairing": rows,
        }
        splits[split] = dataset.Split(of_split, len(rows), of_class)
    return dataset.Dataset(
        name="handwriting",
        shapes=SHAPES,
        splits=splits,
        fetch=functools.partial(
            rendering.fetch_columns, columns={"image": 0, "trajectory": 0, "speech": 1}
        ),
        num_classes=10,
        record=dataset.build_record(settings, splits),
        presentations={
            "speech": dataset.Presentation(write=_write_speech),
            "trajectory": dataset.Presentation(picture=strokes.draw),
        },
    )


def _write_speech(stem: Path, spectrograms: np.ndarray) -> list[Path]:
    """All of them in one WAV file, half a second apart."""
    pause = np.zeros(speech.SAMPLE_RATE // 2, np.int16)
    waves = [part for x in spectrograms for part in (speech.to_wave(x), pause)]
    return [speech.write_wav(stem.with_suffix(".wav"), np.concatenate(waves))]


def _split_speakers(
    settings: Settings, speakers: np.ndarray, names: np.ndarray
) -> list[np.ndarray]:
    """The clips that each split hears, in the order of `dataset.SPLITS`."""
    known, apart = [str(name) for name in names], []
    for field in ("validation_speaker", "test_speaker"):
        speaker = getattr(settings, field)
        if speaker not in known:
            raise ValueError(
                f"`data.{field}` is {speaker!r}, expected {among(speaker, known)}"
            )
        apart.append(known.index(speaker))
    rest = [k for k in range(len(known)) if k not in apart]
    return [np.flatnonzero(np.isin(speakers, k)) for k in (rest, *apart)]


def _build(root: Path) -> dict[str, np.ndarray]:
    """All digits, MNIST's training ones first, and all clips."""
    parts: dict[str, list] = {"images": [], "labels": [], "trajectories": []}
    with np.load(root / "mnist_strokes.npz", allow_pickle=False) as file:
        written = dict(file)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(root / f"mnist/{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(root / f"mnist/{prefix}-labels-idx1-ubyte.gz")
        steps, length = written[f"seq_{split}"], written[f"len_{split}"]
        digits = {"images": images, "labels": labels, "strokes": steps}
        dataset.check_same_rows(digits, f"{root}, {split}")
        if not np.array_equal(labels, written[f"y_{split}"]):
            raise ValueError(
                f"{root}: the classes of mnist_strokes.npz in {split} are not MNIST's: "
                "expected the digits in MNIST's own order"
            )
        parts["images"].append(images[..., None])
        parts["labels"].append(labels.astype(np.int32))
        paths = [
            strokes.resample(s[:n, :2], s[:n, 2] > 0, num_points=NUM_POINTS, side=28)
            for s, n in zip(steps, length, strict=True)
        ]
        points = np.clip(np.stack(paths), 0.0, 1.0)
        parts["trajectories"].append(rendering.to_bytes(points, "trajectories"))
    return {
        **{name: np.concatenate(both) for name, both in parts.items()},
        "num_train": np.array(len(parts["labels"][0])),
        **_build_speech(root / "fsdd_wave.npz"),
    }


def read_idx(path: Path) -> np.ndarray:
    """The array u8[...] in a gzipped file of MNIST's format; ValueError if it is none.

    A magic number says the type (8: unsigned bytes) and the number of axes; their
    lengths follow, then the bytes.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise ValueError(f"{path}: expected a gzipped idx file ({error})") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: expected an idx file of bytes, got {raw[:4]!r}")
    start = 4 + 4 * raw[3]
    shape = tuple(np.frombuffer(raw[4:start], ">u4").tolist())
    if len(raw) - start != math.prod(shape):
        raise ValueError(
            f"{path}: shape {shape} does not fit its {len(raw) - start} bytes"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _build_speech(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        spoken = dict(file)
    length, wave = spoken["length"], spoken["wave"]
    columns = {name: spoken[name] for name in ("length", "y", "speaker")}
    dataset.check_same_rows(columns, str(path))
    if length.sum() != len(wave):
        raise ValueError(
            f"{path}: got {len(wave)} samples, expected {length.sum()}, all of `length`"
        )
    clips = np.zeros((len(length), speech.NUM_SAMPLES), np.int16)
    ends = np.cumsum(length)
    for clip, start, stop in zip(clips, ends - length, ends, strict=True):
        heard = wave[start:stop][: speech.NUM_SAMPLES]
        clip[: len(heard)] = heard
    return {
        "speech": speech.log_mel(clips),
        "speech_labels": spoken["y"].astype(np.int32),
        "speakers": spoken["speaker"].astype(np.int32),
        "speaker_names": spoken["speaker_names"],
    }
