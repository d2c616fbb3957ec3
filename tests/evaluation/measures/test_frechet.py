"""The measure ``frechet`` on pictures that are known; what a config must say."""

import dataclasses
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation.test_protocol import LabelModel, Sure

from jnf_jax import options
from jnf_jax.data.dataset import Dataset, Presentation
from jnf_jax.evaluation.classifiers import Classifiers
from jnf_jax.evaluation.measures import features as measures_features
from jnf_jax.evaluation.measures import frechet
from jnf_jax.evaluation.measures.features import Extractor
from jnf_jax.evaluation.measures.frechet import Settings
from jnf_jax.evaluation.protocol import Draws, ProtocolSettings
from jnf_jax.evaluation.statistics.frechet import frechet_distance, gaussian_of
from jnf_jax.evaluation.subject import HeldOut, Subject
from jnf_jax.networks import inception

NUM, SHAPE = 101, (1, 2, 1)
RNG = np.random.default_rng(0)
REAL = {m: RNG.uniform(size=(NUM, *SHAPE)).astype(np.float32) for m in "abc"}
LATENTS = RNG.normal(0.5, 0.4, size=(8, NUM, 2)).astype(np.float32)
SUBSETS = [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c")]
DRAWS = Draws(
    dict(zip(SUBSETS, LATENTS, strict=False)),
    {"uniform": LATENTS[6], "ones": LATENTS[7][:90]},
)


class Model(LabelModel):
    """Decodes z, two numbers, to two pixels: as they are, in other order, squared."""

    def decode(self, params, z):
        shown = {"a": z, "b": z[:, ::-1], "c": jnp.square(z)}
        return {m: Sure(x.reshape(-1, *SHAPE)) for m, x in shown.items()}


def as_pictures(z):
    shown = {"a": z, "b": z[:, ::-1], "c": np.square(z)}
    return {m: x.reshape(-1, *SHAPE) for m, x in shown.items()}


def features(scale, views):
    return {m: scale * x.reshape(len(x), -1) for m, x in views.items()}


def subject(lines, draws=DRAWS, presentations=(), **changes):
    dataset = Dataset(
        name="pixels",
        shapes=dict.fromkeys("abc", SHAPE),
        splits={},
        fetch=lambda arrays, rows: {m: x[rows] for m, x in arrays.items()},
        num_classes=2,
        record={},
        presentations=presentations or {},
    )
    read = jax.tree_util.Partial(features, jnp.float32(3))
    given = Subject(
        Model(),
        {},
        dataset,
        HeldOut(jax.tree.map(jnp.asarray, REAL), dataset.fetch, NUM),
        Classifiers(None, read, {}, "id"),
        ProtocolSettings(num_prior_samples=90, batch_size=40, num_diagnostic_data=2),
        draws,
        lines.append,
    )
    return given._replace(**changes)


def expected_distance(m, z):
    def moments(x):
        rounded = np.round(np.clip(x, 0, 1) * np.float32(255)) / np.float32(255)
        return gaussian_of([3 * rounded.reshape(len(x), -1)])

    return frechet_distance(moments(REAL[m]), moments(as_pictures(z)[m]))


@pytest.mark.parametrize("batch_size", [40, 1_000])
def test_distances_are_those_of_rounded_pictures_without_the_given_ones(batch_size):
    lines = []
    given = subject(lines)
    protocol = dataclasses.replace(given.protocol, batch_size=batch_size)
    found = frechet.measure(given._replace(protocol=protocol), Settings())
    assert set(found) == {"frechet_classifier"}
    found = found["frechet_classifier"]
    expected = {
        "+".join(s): {m: expected_distance(m, z) for m in "abc" if m not in s}
        for s, z in DRAWS.given.items()
    }
    assert list(found["subsets"]) == list(expected)
    for name, by_target in expected.items():
        assert found["subsets"][name] == pytest.approx(by_target, rel=1e-5)
    one = np.mean([np.mean([*expected[s].values()]) for s in "abc"])
    assert found["conditional"]["1"] == pytest.approx(one, rel=1e-5)
    to_a = (expected["b"]["a"] + expected["c"]["a"]) / 2, expected["b+c"]["a"]
    got = found["targets"]["a"]["conditional"]
    assert got == pytest.approx({"1": to_a[0], "2": to_a[1]}, rel=1e-5)
    for prior, z in DRAWS.unconditional.items():
        each = {m: expected_distance(m, z) for m in "abc"}
        mean = pytest.approx(np.mean([*each.values()]), rel=1e-5)
        assert found["unconditional"][prior] == mean
        got = {m: found["targets"][m]["unconditional"][prior] for m in "abc"}
        assert got == pytest.approx(each, rel=1e-5)
    counts = found["num_real"], found["num_unconditional"], found["num_features"]
    assert counts == (NUM, 90, 2)
    assert len(lines) == 1 and lines[0].startswith("frechet_classifier: given 1 ")


def test_classifiers_read_what_is_no_picture_and_inception_does_not(monkeypatch):
    lines = []
    given = subject(lines, presentations={"b": Presentation()})
    found = frechet.measure(given, Settings())["frechet_classifier"]
    assert set(found["targets"]) == {"a", "b", "c"}
    # Nothing rounds or clips what no file holds in 8 bit.
    z = DRAWS.given["a",]
    real, drawn = (
        gaussian_of([3 * x.reshape(len(x), -1)])
        for x in (REAL["b"], as_pictures(z)["b"])
    )
    expected = frechet_distance(real, drawn)
    assert found["subsets"]["a"]["b"] == pytest.approx(expected, rel=1e-5)
    assert found["subsets"]["a"]["c"] == pytest.approx(
        expected_distance("c", z), rel=1e-5
    )

    def pool(path, sha256, mesh, targets):
        flat = lambda m, x: 3 * x.reshape(len(x), -1)  # noqa: E731
        return Extractor("fid", flat, 2, targets)

    monkeypatch.setattr(measures_features, "inception_features", pool)
    lines.clear()
    found = frechet.measure(given, Settings(features="inception"))["fid"]
    assert lines[0] == "not measured: fid of b: no pictures"
    assert {s: set(d) for s, d in found["subsets"].items()} == {
        "a": {"c"},
        "b": {"a", "c"},
        "c": {"a"},
        "a+b": {"c"},
        "b+c": {"a"},
    }


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"classifiers": None}, "needs a classifier, and 'pixels' has no labels"),
        (
            {"classifiers": Classifiers(None, None, {}, None)},
            "needs a classifier, and 'pixels' needs none",
        ),
        (
            {"protocol": ProtocolSettings(num_tuples=2, num_diagnostic_data=2)},
            "needs more than 2 pictures, one for each feature, and there are 2",
        ),
    ],
)
def test_what_the_data_do_not_allow_is_left_out_with_a_line(changes, line):
    lines = []
    assert frechet.measure(subject(lines, **changes), Settings()) == {}
    assert lines == [f"not measured: frechet_classifier {line}"]


def test_without_earlier_draws_the_protocols_are_made(monkeypatch):
    asked = []

    def draw_latents(*args):
        asked.append(args)
        return DRAWS

    monkeypatch.setattr(frechet, "draw_latents", draw_latents)
    own = frechet.measure(subject([], draws=None), Settings())
    assert own == frechet.measure(subject([]), Settings()) and len(asked) == 1


def test_a_config_that_asks_for_the_fid_names_a_file_and_its_hash(tmp_path):
    def faults(**fields):
        return options.faults(Settings(**fields), "evaluation.frechet")

    assert not faults()
    path = tmp_path / "weights.pth"
    path.write_bytes(b"some")
    digest = hashlib.sha256(b"some").hexdigest()
    file = {"features": "classifier, inception", "inception_file": str(path)}
    for asked in ({"features": "inception"}, file):
        (fault,) = faults(**asked)
        assert "expected both: without its weights there is no FID" in fault
        assert inception.WEIGHTS_URL in fault and inception.WEIGHTS_SHA256 in fault
    assert not faults(**file, inception_sha256=digest.upper())
    (fault,) = faults(**file, inception_sha256="0" * 64)
    assert f"has SHA-256 {digest}, expected {'0' * 64}" in fault
    path.unlink()
    (fault,) = faults(**file, inception_sha256=digest)
    assert fault.startswith("`evaluation.frechet.inception_file` cannot be read")
    for features in ("", "vgg", "classifier,vgg"):
        (fault,) = faults(features=features)
        assert f"`evaluation.frechet.features` is {features!r}, expected" in fault


def test_a_distance_is_named_after_the_weights_that_are_found(tmp_path, monkeypatch):
    """Published ones give an FID, any others do not, whatever was claimed."""
    path = tmp_path / "weights.pth"
    path.write_bytes(b"some")
    digest = hashlib.sha256(b"some").hexdigest()
    monkeypatch.setattr(measures_features, "load_tensors", lambda path: {})
    monkeypatch.setattr(inception, "from_torch", lambda tensors: {})

    def name(sha256):
        return measures_features.inception_features(str(path), sha256, None).distance

    assert name(digest) == "frechet_inception"
    with pytest.raises(ValueError, match=f"has SHA-256 {digest}, expected {'0' * 64}"):
        name("0" * 64)
    with pytest.raises(ValueError, match=f"expected {inception.WEIGHTS_SHA256}"):
        name(inception.WEIGHTS_SHA256)
    monkeypatch.setattr(inception, "WEIGHTS_SHA256", digest)
    assert name(digest.upper()) == "fid"
