"""Spectrograms of tones: the right band, the right frames; and back to a wave."""

import wave

import numpy as np
import pytest

from jnf_jax.data import speech

pytest.importorskip("librosa")


def _tone(hertz, amplitude=8000):
    clip = np.zeros(speech.NUM_SAMPLES)
    time = np.arange(4000) / speech.SAMPLE_RATE
    clip[:4000] = amplitude * np.sin(2 * np.pi * hertz * time)
    return clip.astype(np.int16)


def test_a_tone_is_a_line_in_its_band_for_as_long_as_it_lasts():
    low, high, quiet = speech.log_mel(
        np.stack([_tone(400), _tone(3000), _tone(400, 80)])
    )[..., 0]
    assert low.shape == (32, 64) and low.max() == high.max() == 255
    bands = [int(np.argmax(x[:, 10])) for x in (low, high)]
    assert bands[0] > bands[1] + 8  # the higher tone is nearer the top
    assert low[bands[0], 2:29].min() > 200 and low[:, 34:].max() < 30
    # Each clip is measured from its own peak, here 40 dB lower; bytes of rounding.
    assert np.abs(low[bands[0], 5:25].astype(int) - quiet[bands[0], 5:25]).max() <= 6


def test_back_to_a_wave_with_the_same_spectrogram(tmp_path):
    spectrogram = speech.log_mel(_tone(1000)[None])[0]
    samples = speech.to_wave(spectrogram / np.float32(255))
    same = speech.to_wave(spectrogram / np.float32(255))
    np.testing.assert_array_equal(samples, same)  # whatever NumPy's generator says
    again = speech.log_mel(samples[None])[0]
    loud = spectrogram[..., 0] > 204  # within 16 dB of the peak
    error = np.abs(again[..., 0].astype(int) - spectrogram[..., 0])[loud]
    assert error.mean() < 13  # 4 dB; Griffin–Lim only comes near
    path = speech.write_wav(tmp_path / "new" / "a.wav", samples)
    with wave.open(str(path)) as file:
        assert file.getframerate() == 8000 and file.getnframes() == len(samples)
        assert file.readframes(10**6) == samples.tobytes()


def test_another_length_is_refused():
    with pytest.raises(ValueError, match="have 100 samples each, expected 8064"):
        speech.log_mel(np.zeros((1, 100), np.int16))
