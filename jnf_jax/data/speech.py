"""Spoken words as log-mel spectrograms, and back to a wave one can listen to.

Spectrogram, mel filters and Griffin–Lim are librosa's, which only what is here needs:
``pip install 'jnf_jax[audio]'``.
"""

import importlib.util
import wave
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16, UInt8

SAMPLE_RATE = 8000
NUM_MELS, NUM_FRAMES = 32, 64
WINDOW, HOP = 256, 128
"""In samples: 32 ms, every 16 ms."""

NUM_SAMPLES = (NUM_FRAMES - 1) * HOP
"""The length of a clip: 1.008 s."""

RANGE_DB = 80.0
"""From the loudest cell of a clip down to what counts as silence."""

GRIFFIN_LIM_STEPS = 32


def _librosa():
    if importlib.util.find_spec("librosa") is None:
        raise ModuleNotFoundError(
            "spectrograms of speech need librosa: pip install 'jnf_jax[audio]'"
        )
    import librosa

    return librosa


def log_mel(
    clips: Int16[np.ndarray, "count samples"],
) -> UInt8[np.ndarray, "count mels frames 1"]:
    """Spectrograms u8[N, 32, 64, 1], the highest of the mel bands at the top.

    ::

        255 · max(0, 1 + (10 log₁₀ S − max 10 log₁₀ S) / 80 dB),   S mel power

    Raises:
      ModuleNotFoundError: librosa is not installed.
      ValueError: clips are not of `NUM_SAMPLES`, at `SAMPLE_RATE`.
    """
    if clips.shape[1] != NUM_SAMPLES:
        raise ValueError(
            f"`clips` have {clips.shape[1]} samples each, expected {NUM_SAMPLES}"
        )
    power = _librosa().feature.melspectrogram(
        y=clips.astype(np.float32) / 32768.0,
        sr=SAMPLE_RATE,
        n_fft=WINDOW,
        hop_length=HOP,
        n_mels=NUM_MELS,
    )
    level = 10.0 * np.log10(np.maximum(power, 1e-10))
    level -= level.max(axis=(1, 2), keepdims=True)
    unit = np.maximum(1.0 + level / RANGE_DB, 0.0)
    return np.rint(255.0 * unit[:, ::-1, :, None]).astype(np.uint8)


def to_wave(
    spectrogram: Float[np.ndarray, "mels frames 1"],
) -> Int16[np.ndarray, " samples"]:
    """A wave with about this spectrogram (Griffin and Lim, 1984), peak at one half.

    ``spectrogram`` is one of `log_mel` over 255, clipped to [0, 1]. Without librosa
    this raises ModuleNotFoundError.
    """
    unit = np.clip(np.asarray(spectrogram, np.float32)[::-1, :, 0], 0.0, 1.0)
    librosa = _librosa()
    magnitudes = librosa.feature.inverse.mel_to_stft(
        10.0 ** ((unit - 1.0) * RANGE_DB / 10.0) * (unit > 0),
        sr=SAMPLE_RATE,
        n_fft=WINDOW,
    )
    sound = librosa.griffinlim(
        magnitudes,
        n_iter=GRIFFIN_LIM_STEPS,
        hop_length=HOP,
        n_fft=WINDOW,
        length=NUM_SAMPLES,
        random_state=0,  # of the phases that it starts from: the same wave every time
    )
    return np.rint(sound / max(np.abs(sound).max(), 1e-9) * 16384).astype(np.int16)


def write_wav(path: Path, samples: Int16[np.ndarray, " samples"]) -> Path:
    """Writes one channel at `SAMPLE_RATE`; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return path
