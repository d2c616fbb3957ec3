"""Arrays in memory: what they may be, what becomes of them, and back."""

import json

import numpy as np
import pytest

from jnf_jax.data import own, record_files
from jnf_jax.data.dataset import Scaling
from jnf_jax.data.placement import place
from jnf_jax.data.registry import load

RNG = np.random.default_rng(0)
SIZE = 40


def views(**changes):
    found = {
        "assay": RNG.normal(500.0, 30.0, (SIZE, 3)),
        "photo": RNG.integers(0, 256, (SIZE, 4, 4, 1)).astype(np.uint8),
    }
    return found | changes


@pytest.mark.parametrize(
    ("x", "dtype", "shape"),
    [
        (np.zeros(5), np.float32, (5, 1)),
        (np.arange(5), np.float32, (5, 1)),
        (np.zeros((5, 2), np.float16), np.float32, (5, 2)),
        (np.ones((5, 2), bool), np.float32, (5, 2)),
        (np.zeros((5, 3), np.uint8), np.float32, (5, 3)),
        (np.zeros((5, 6, 2)), np.float32, (5, 6, 2)),
        (np.zeros((5, 4, 4, 3), np.uint8), np.uint8, (5, 4, 4, 3)),
        ([[1.0], [2.0]], np.float32, (2, 1)),
    ],
)
def test_conversions(x, dtype, shape):
    found = own.as_array(x, "views.x")
    assert (found.dtype, found.shape) == (dtype, shape)
    np.testing.assert_array_equal(found, np.reshape(x, shape))


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.array([None, 1]), "`views.x` has dtype object, expected numbers"),
        (np.array(["a"]), "`views.x` has dtype <U1, expected numbers"),
        (np.zeros(2, complex), "`views.x` has dtype complex128, expected numbers"),
        (np.array([1.0, np.nan]), "`views.x` has 1 values that are NaN, infinite or"),
        (np.array([np.inf, 1.0]), "`views.x` has 1 values that are NaN, infinite or"),
        (np.array([1e300, 1.0]), "`views.x` has 1 values that are NaN, infinite or"),
        (np.array([2**24 + 1, 1]), "`views.x` has 1 integers that float32 cannot hold"),
        (np.float64(3.0), r"`views.x` has shape \(\), expected one or more rows"),
        (np.zeros((3, 0)), r"`views.x` has shape \(3, 0\), expected one or more rows"),
        (np.zeros((2, 2, 2, 2, 2)), r"`views.x` has shape \(2, 2, 2, 2, 2\), expected"),
        (np.zeros((2, 4, 4), np.uint8), r"bytes of shape .* grey pictures \(x\[..., N"),
    ],
)
def test_arrays_that_are_refused(x, told):
    with pytest.raises(ValueError, match=told):
        own.as_array(x, "views.x")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, r"`views` is {}, expected {name: array \[N, ...\]}"),
        (np.zeros((3, 2)), "`views` is ndarray, expected {name"),
        (
            {"a.b": np.zeros(2)},
            "`views` has a view named 'a.b', expected 1 to 64 letters",
        ),
        ({"default": np.zeros(2)}, "named 'default', expected 1 to 64 letters"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "rows {'a': 2, 'b': 3}, expected the"),
    ],
)
def test_views_that_are_refused(given, told):
    with pytest.raises(ValueError, match=told):
        own.as_arrays(given)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (
            [0.0, 1.7, 1.0],
            "`labels`: row 1 is 1.7, expected a whole number from 0 to 2",
        ),
        ([0, 1], r"`labels`: got int64\[2\], expected integers \[3\]"),
        (["a", "b", "c"], r"`labels`: got <U1\[3\], expected integers"),
        ([0, -1, 1], "`labels`: row 1 is -1, expected a whole number"),
        ([0, 9, 1], "`labels`: row 1 is 9, expected a whole number from 0 to 2"),
        ([0, np.nan, 1], "`labels`: row 1 is nan"),
    ],
)
def test_labels_that_are_refused(labels, told):
    with pytest.raises(ValueError, match=told):
        own.as_labels(labels, 3)


def test_labels():
    found, num_classes = own.as_labels([2.0, 0.0, 1.0], 3)
    assert found.dtype == np.int32 and found.tolist() == [2, 0, 1] and num_classes == 3
    with pytest.raises(
        ValueError, match="row 1 is 2, expected a whole number from 0 to"
    ):
        own.as_labels([0, 2, 1], 3, num_classes=2)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"a": np.zeros((SIZE, 2))}, r"`views` has \['a'\] alone, expected two"),
        ({"a": np.zeros(9), "b": np.zeros(9)}, "`views` have 9 rows, expected 20 or"),
    ],
)
def test_nothing_is_written_of_what_is_refused(given, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        own.write(tmp_path / "data", given)
    assert not list(tmp_path.iterdir())


def test_what_is_written_is_a_data_set(tmp_path):
    given, labels = views(), np.arange(SIZE) % 3
    own.write(tmp_path / "data", given, labels, seed=1)
    found = load("records", records_dir=str(tmp_path / "data"))
    assert found.num_classes == 3 and found.unbounded == ("assay",)
    rows = own.split_rows(SIZE, seed=1)
    assert {name: split.size for name, split in found.splits.items()} == {
        "train": 32, "validation": 4, "test": 4,
    }  # fmt: skip
    assert sorted(np.concatenate(list(rows.values()))) == list(range(SIZE))
    for name, split in found.splits.items():
        read = split.read(np.arange(split.size))
        np.testing.assert_array_equal(split.labels, labels[rows[name]])
        np.testing.assert_array_equal(read.views["photo"], given["photo"][rows[name]])
        back = own.to_user(found, {"assay": read.views["assay"]})["assay"]
        np.testing.assert_allclose(back, given["assay"][rows[name]], rtol=1e-5)
    standard = found.splits["train"].read(np.arange(32)).views["assay"]
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std(0), 1, rtol=1e-5)
    # Of other rows of the same things the model reads the same numbers.
    new = own.to_model(found, {"assay": given["assay"][rows["train"]]}, "given")
    np.testing.assert_allclose(new["assay"], standard, atol=1e-5)


def test_the_same_arrays_may_be_written_again_and_no_others(tmp_path):
    given = views()
    own.write(tmp_path / "data", given)
    own.write(tmp_path / "data", given)
    for other, seed in ((views(assay=given["assay"] + 1), 0), (given, 1)):
        with pytest.raises(ValueError, match="holds other data, or another seed's"):
            own.write(tmp_path / "data", other, seed=seed)


def test_constant_features_and_unit_floats(tmp_path):
    unit, constant = RNG.uniform(size=(SIZE, 2)), np.full((SIZE, 2), 7.0)
    own.write(tmp_path / "data", {"unit": unit, "constant": constant})
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    found = record_files.open_dataset(tmp_path / "data")
    assert set(found.scaling) == {"constant"}
    np.testing.assert_array_equal(found.scaling["constant"].scale, 1)
    train = unit[own.split_rows(SIZE, 0)["train"]]
    assert manifest["spread"]["unit"] == pytest.approx(train.std(0).mean(), rel=1e-5)


def test_rows_may_lack_views(tmp_path):
    """As all NaN, or masked; what stands there changes nothing that is written."""
    given, row = views(), np.arange(SIZE)
    has = {"assay": row % 3 != 0, "photo": row % 4 != 0}
    has["assay"][0] = True  # row 12 k has neither
    has["photo"][12::12] = True
    holes = given["assay"].copy()
    holes[~has["assay"]] = np.nan
    masked = np.ma.array(given["photo"])
    masked[~has["photo"]] = np.ma.masked
    own.write(tmp_path / "data", {"assay": holes, "photo": masked}, np.arange(SIZE) % 3)
    found = record_files.open_dataset(tmp_path / "data")
    rows = own.split_rows(SIZE, seed=0)
    for name, split in found.splits.items():
        for m, of_row in has.items():
            np.testing.assert_array_equal(split.present[m], of_row[rows[name]])
        read = split.read(np.arange(split.size)).views
        assert not read["assay"][~split.present["assay"]].any()
        assert not read["photo"][~split.present["photo"]].any()
    train = rows["train"]
    known = given["assay"][train[has["assay"][train]]]
    np.testing.assert_allclose(found.scaling["assay"].mean, known.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.scaling["assay"].scale, known.std(0), rtol=1e-5)
    # Whole rows alone, whose labels and views go together.
    for placed in (found, place(found, "device", tmp_path)):
        whole = placed.complete.splits["train"]
        kept = train[has["assay"][train] & has["photo"][train]]
        assert whole.size == len(kept) and whole.present is None
        np.testing.assert_array_equal(whole.labels, kept % 3)
        few = np.array([2, 0], np.int32)
        fetched = found.fetch(whole.arrays, whole.rows(few))["photo"]
        np.testing.assert_allclose(fetched, given["photo"][kept[few]] / 255, rtol=1e-6)
        assert whole.read is None or list(whole.rows(few).indices) == [2, 0]
    # Other holes are other data, and have another checksum.
    holes[1] = np.nan
    with pytest.raises(ValueError, match="holds other data"):
        own.write(tmp_path / "data", {"assay": holes, "photo": masked}, None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"assay": np.full((SIZE, 3), np.nan)}, "`views.assay` is missing in all rows"),
        (
            {"assay": np.where(np.eye(SIZE, 3), np.inf, np.nan)},
            "`views.assay` has 3 values that are infinite",
        ),
        (
            {
                "assay": np.where(np.arange(SIZE)[:, None] == 5, np.nan, 1.0),
                "photo": np.where(np.arange(SIZE)[:, None] == 5, np.nan, 2.0),
            },
            "`views`: row 5 has no view, expected one or more",
        ),
    ],
)
def test_holes_that_are_refused(changes, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        own.write(tmp_path / "data", views(**changes))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "data"
    own.write(folder, views(track=RNG.normal(0, 5, (SIZE, 6, 2))))
    return record_files.open_dataset(folder)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "`given` is {}, expected"),
        ({"foto": np.zeros(2)}, r"`given` has \['foto'\], expected some of \['assay'"),
        (
            {"assay": np.zeros((2, 4))},
            r"`given.assay` has shape \(2, 4\), expected \(2,",
        ),
        ({"photo": np.full((1, 4, 4, 1), 200.0)}, "goes from 200 to 200, expected byt"),
    ],
)
def test_new_rows_that_are_refused(known, given, told):
    with pytest.raises(ValueError, match=told):
        own.to_model(known, given, "given")


def test_bytes_of_new_rows_are_read_as_those_of_training(known):
    photo = np.full((1, 4, 4, 1), 51, np.uint8)
    read = own.to_model(known, {"photo": photo}, "given")["photo"]
    np.testing.assert_allclose(read, 0.2, rtol=1e-6)


def test_volumes_are_those_of_the_change_of_units(known):
    """A density per user's unit is that per model's unit over Π scale."""
    scale = known.scaling["assay"].scale, np.tile(known.scaling["track"].scale, 6)
    expected = np.log(np.concatenate(scale)).sum()
    read = {m: np.zeros((2, *shape), np.float32) for m, shape in known.shapes.items()}
    np.testing.assert_allclose(own.log_volume(known, read), expected, rtol=1e-5)
    assert own.log_volume(known, {"photo": read["photo"]}).tolist() == [0, 0]


COUNTS = RNG.negative_binomial(2, 0.01, (SIZE, 2))


@pytest.mark.parametrize("rule", own.SCALINGS)
def test_a_scaling_that_was_chosen_is_undone(rule, tmp_path):
    """There and back, whatever the rule; new rows are read as those of training."""
    unit = RNG.uniform(size=(SIZE, 3))
    chosen = dict.fromkeys(("assay", "counts", "unit"), rule)
    given = views(counts=COUNTS, unit=unit)
    own.write(tmp_path / "data", given, scaling=chosen)
    found = record_files.open_dataset(tmp_path / "data")
    train = found.splits["train"]
    rows = own.split_rows(SIZE, 0)["train"]
    stored = train.read(np.arange(train.size)).views
    back = own.to_user(found, stored)
    read = own.to_model(found, {m: given[m][rows] for m in chosen}, "given")
    for m in chosen:
        np.testing.assert_allclose(back[m], given[m][rows], rtol=2e-5, atol=1e-4)
        np.testing.assert_allclose(read[m], stored[m], atol=1e-5)
        assert found.ranges[m] == pytest.approx((given[m].min(), given[m].max()))
    if rule == "none":
        assert not found.scaling
        return
    f = np.log1p(COUNTS[rows]) if rule == "log1p" else COUNTS[rows]
    of_counts = found.scaling["counts"]
    np.testing.assert_allclose(of_counts.mean, f.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stored["counts"].std(0), 1, rtol=1e-5)


def test_a_density_of_logarithms_integrates_to_one_in_the_users_units():
    """∫ N(u(x); 0, 1) |∂u/∂x| dx = 1, the volume being another at each x."""
    scaling = Scaling(np.float32([2.0]), np.float32([0.7]), "log1p")
    x = np.expm1(np.linspace(-3.0, 7.0, 4_001))[:, None]  # also where 1 + x is small
    u = scaling.to_model(x)
    log_density = -0.5 * (u[:, 0] ** 2 + np.log(2 * np.pi)) - scaling.log_volume(u)
    assert np.trapezoid(np.exp(log_density), x[:, 0]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("scaling", "told"),
    [
        ({"asay": "none"}, "`data.scaling.asay` is unknown, expected .* mean 'assay'"),
        ({"assay": "log"}, "`data.scaling.assay` is 'log', expected one of 'standar"),
        ({"photo": "log1p"}, "`data.scaling.photo` is 'log1p', expected 'none' of by"),
        ({"low": "log1p"}, "is 'log1p', but row 3 of `views.low` has -1: expected v"),
    ],
)
def test_scalings_that_are_refused(scaling, told, tmp_path):
    low = np.where(np.arange(SIZE) == 3, -1.0, 2.0)
    with pytest.raises(ValueError, match=told):
        own.write(tmp_path / "data", views(low=low), scaling=scaling)
    assert not list(tmp_path.iterdir())


def test_new_rows_below_zero_have_no_logarithm(tmp_path):
    own.write(tmp_path / "data", views(counts=COUNTS), scaling={"counts": "log1p"})
    found = record_files.open_dataset(tmp_path / "data")
    with pytest.raises(ValueError, match="`given.counts` has -2, expected values >= 0"):
        own.to_model(found, {"counts": [[3.0, -2.0]]}, "given")


def test_a_scaling_of_before_there_were_rules_is_standardised(known):
    told = own.to_json(known.scaling["assay"])
    del told["rule"]
    found = record_files.scaling_of({"scaling": {"assay": told}})["assay"]
    assert found.rule == "standardise"
    np.testing.assert_array_equal(found.mean, known.scaling["assay"].mean)
