"""Means and draws of one z, where coherence and distance are known."""

import dataclasses

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import options
from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation.classifiers import Classifiers
from jnf_jax.evaluation.measures import diffusion_decoder
from jnf_jax.evaluation.measures.diffusion_decoder import (
    Settings,
    data_faults,
    measure,
)
from jnf_jax.evaluation.protocol import Draws, ProtocolSettings
from jnf_jax.evaluation.subject import HeldOut, Subject

NUM = 600
NAMES = ("a", "b")


@dataclasses.dataclass(frozen=True)
class Known:
    """z is the label; the first number of a view shows it, the second is noise."""

    modalities: tuple = NAMES

    def infer(self, params, rng_key, views, subset):
        return jnp.round(views[subset[0]][:, 0]), None

    def decode(self, params, z):
        x = jnp.stack([0.25 + 0.5 * z, jnp.full_like(z, 0.5)], axis=-1)
        return {m: distrax.Normal(x, 1.0) for m in NAMES}


@dataclasses.dataclass(frozen=True)
class Noisy:
    """Draws the noise that the means leave out; ``swaps`` shows b's other label."""

    swaps: bool = False

    def draw(self, params, rng_key, z, modalities):
        shown = {}
        for m in modalities:
            z_m = 1 - z if self.swaps and m == "b" else z
            key = jax.random.fold_in(rng_key, NAMES.index(m))
            noise = 0.5 + 0.1 * jax.random.normal(key, z.shape)
            shown[m] = jnp.stack([0.25 + 0.5 * z_m, noise], axis=-1)
        return shown


def classifiers():
    predict = lambda views: {  # noqa: E731
        m: (x[:, 0] > 0.5).astype(jnp.int32) for m, x in views.items()
    }
    return Classifiers(predict, lambda views: views, {}, None)


def subject_of(decoder, report=lambda line: None):
    """Its data set says that "a" is a picture of two pixels."""
    rng = np.random.default_rng(0)
    labels = np.arange(NUM, dtype=np.int32) % 2
    arrays = {
        m: jnp.asarray(
            np.stack([0.25 + 0.5 * labels, rng.normal(0.5, 0.1, NUM)], axis=-1),
            jnp.float32,
        )
        for m in NAMES
    }
    dataset = Dataset(
        name="noisy",
        shapes={"a": (1, 2, 1), "b": (2,)},
        splits={},
        fetch=lambda arrays, rows: {m: x[rows] for m, x in arrays.items()},
        num_classes=2,
        record={},
    )
    held_out = HeldOut(arrays, dataset.fetch, NUM, labels, 2)
    z = labels.astype(np.float32)
    return Subject(
        Known(),
        {},
        dataset,
        held_out,
        classifiers(),
        ProtocolSettings(batch_size=200, num_diagnostic_data=8),
        Draws({("a",): z, ("b",): z}, {"normal": z}),
        report,
        decoder,
    )


def measured(decoder, report=lambda line: None):
    return measure(subject_of(decoder, report), Settings(num_prior_samples=500))


def test_draws_close_the_distance_that_means_leave():
    lines = []
    found = measured(Noisy(), lines.append)
    assert lines == ["drawn given a", "drawn given b"]
    for by in ("means", "draws"):
        assert found["conditional"][by] == {"1": 1.0}
        assert found["joint"][by] == {"normal": 1.0} and found["ceiling"][by] == 1.0
    assert set(found["frechet"]["means"]) == {"1", "normal"}
    # The means have no variance where the data have 0.1²; estimates of a standard
    # deviation are off by 3 % of it, those of a mean by 0.1/√500 and 0.5/√500.
    assert found["frechet"]["means"]["1"] == pytest.approx(0.01, rel=0.15)
    assert found["frechet"]["draws"]["1"] < 5 * 0.01 / 500
    assert found["frechet"]["draws"]["normal"] < 5 * 0.25 / 500


def test_pictures_alone_are_rounded_to_8_bit():
    subject = subject_of(Noisy())
    real = diffusion_decoder._real_features(subject)
    data = {m: np.asarray(x) for m, x in subject.held_out.arrays.items()}
    np.testing.assert_array_equal(real["b"], data["b"])
    np.testing.assert_allclose(real["a"], np.round(data["a"] * 255) / 255, rtol=1e-6)
    z, key = np.zeros(NUM, np.float32), jax.random.key(0)
    judged = diffusion_decoder._judged(subject, z, NAMES, key)
    assert (judged["means"]["b"][1][:, 0] == 0.25).all()
    np.testing.assert_allclose(judged["means"]["a"][1][:, 0], 64 / 255, rtol=1e-6)


def test_too_few_test_tuples_leave_the_distance_out():
    lines = []
    subject = subject_of(Noisy(), lines.append)
    few = dataclasses.replace(subject.protocol, num_tuples=2, num_diagnostic_data=2)
    given = {s: z[:2] for s, z in subject.draws.given.items()}
    subject = subject._replace(protocol=few, draws=subject.draws._replace(given=given))
    found = measure(subject, Settings())
    assert lines[0] == (
        "not measured: Frechet distances of drawn pictures need more than 2 test "
        "tuples, one for each feature, and there are 2"
    )
    assert found["frechet"] == {"means": {}, "draws": {}}
    assert found["conditional"]["draws"] == {"1": 1.0}


def test_a_decoder_that_shows_something_else_loses_coherence():
    found = measured(Noisy(swaps=True))
    assert found["conditional"] == {"means": {"1": 1.0}, "draws": {"1": 0.5}}
    assert found["joint"]["draws"] == {"normal": 0.0}
    assert found["ceiling"] == {"means": 1.0, "draws": 0.0}


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected a config with `denoiser`"):
        measured(None)
    (fault,) = options.faults(Settings(0), "evaluation.diffusion_decoder")
    assert fault == (
        "`evaluation.diffusion_decoder.num_prior_samples` is 0, expected >= 1"
    )
    by_rule = dataclasses.replace(subject_of(None).dataset, read_label=lambda x: 0)
    (fault,) = data_faults(Settings(), "e.d", by_rule, ProtocolSettings())
    assert "expected data that classifiers are trained for: a rule reads" in fault
