"""Covariates: what is a category, what a number, and what becomes of them."""

import numpy as np
import pytest

from jnf_jax.data import covariates, manifest, own, record_files, view_files
from jnf_jax.data.covariates import Covariate
from jnf_jax.names import COVARIATES
from jnf_jax.runtime.files import npz

SIZE = 40
RNG = np.random.default_rng(0)
BATCH = np.array(["B", "A", "B", "C"] * 10)
AGE = RNG.normal(50, 9, SIZE)
VIEWS = {m: RNG.normal(size=(SIZE, 2)).astype(np.float32) for m in "xy"}
TRAIN = np.arange(30)


def found_of(**given):
    return covariates.find(given, SIZE, TRAIN, "covariates")


def columns_of(known, size=SIZE, **given):
    return covariates.columns(known, given, size, "given")


def test_categories_are_columns_of_0_and_1_and_numbers_are_standardised():
    known = found_of(batch=BATCH, age=AGE)
    assert [(of.name, of.categories) for of in known] == [
        ("age", ()),
        ("batch", ("A", "B", "C")),
    ]
    x = columns_of(known, batch=BATCH, age=AGE)
    assert x.dtype == np.float32 and x.shape == (SIZE, 4)
    np.testing.assert_allclose(x[:30, 0].mean(), 0, atol=1e-6)  # of training rows
    np.testing.assert_allclose(x[:30, 0].std(), 1, rtol=1e-6)
    np.testing.assert_array_equal(
        x[:4, 1:], [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    )
    one_for_all = columns_of(known, 2, batch="C", age=known[0].mean)
    np.testing.assert_allclose(one_for_all, [[0, 0, 0, 1]] * 2, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "categories"),
    [
        (BATCH == "A", ("False", "True")),
        (np.arange(SIZE) % 3 + 9, ("9", "10", "11")),
        (np.array([*"ab"] * 20, object), ("a", "b")),
        (np.arange(SIZE), ()),  # more than MOST_CATEGORIES
        (np.arange(SIZE) % 3 * 1.0, ()),
    ],
)
def test_what_is_a_category(values, categories):
    (known,) = found_of(c=values)
    assert known.categories == categories


def test_a_constant_is_zero():
    known = found_of(c=np.full(SIZE, 7.0))
    np.testing.assert_array_equal(columns_of(known, c=np.full(SIZE, 7.0)), 0)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["A", ""] * 20, "`covariates.c` is missing or not finite in row 1"),
        ([*AGE[:-1], np.nan], "`covariates.c` is missing or not finite in row 39"),
        (np.ma.masked_equal(np.arange(SIZE), 5), "or not finite in row 5, expected it"),
        (AGE[:5], r"`covariates.c` has shape \(5,\), expected one value for each of"),
        (np.array([{}] * SIZE), "`covariates.c` has dtype object, expected text or"),
        ([f"p{i}" for i in range(SIZE)], "has 40 categories in 40 rows, expected few"),
    ],
)
def test_what_is_refused(values, told):
    with pytest.raises(ValueError, match=told):
        found_of(c=values)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"c": "D"}, "`given.c` is 'D' in row 0, expected one of 'A', 'B', 'C'"),
        ({"c": ["A", "Z"]}, "`given.c` is 'Z' in row 1, expected one of"),
        ({"c": 1.0}, "`given.c` is '1.0' in row 0, expected one of"),
        ({}, r"`given` has \[\], expected all of \['c'\]"),
        ({"c": "A", "d": 1}, r"`given` has \['c', 'd'\], expected all of \['c'\]"),
    ],
)
def test_what_new_rows_may_not_have(given, told):
    with pytest.raises(ValueError, match=told):
        columns_of(found_of(c=BATCH), 2, **given)
    with pytest.raises(ValueError, match="dtype <U1, expected numbers"):
        columns_of(found_of(c=AGE), 2, c="A")


def test_they_are_json():
    known = found_of(batch=BATCH, age=AGE)
    assert covariates.of_json(covariates.to_json(known)) == known
    assert known[1] == Covariate("batch", ("A", "B", "C"))


def test_they_are_written_with_the_rows_and_found_again(tmp_path):
    views = VIEWS | {"x": np.where(np.arange(SIZE)[:, None] == 3, np.nan, VIEWS["x"])}
    beside = {"batch": BATCH, "age": AGE}
    own.write(tmp_path / "data", views, covariates=beside)
    found = record_files.open_dataset(tmp_path / "data")
    assert found.shapes == {"x": (2,), "y": (2,)}
    known = found.covariates
    rows = own.split_rows(SIZE, 0)
    for name, split in found.splits.items():
        read = split.read(np.arange(split.size)).views
        expected = covariates.columns(known, beside, SIZE, "")[rows[name]]
        np.testing.assert_array_equal(read[COVARIATES], expected)
        assert split.present is None or set(split.present) == {"x", "y"}
    assert manifest.num_covariates(manifest.read(tmp_path / "data")) == 4
    own.write(tmp_path / "data", views, covariates=beside)  # the same: left alone
    with pytest.raises(ValueError, match="holds other data"):
        own.write(tmp_path / "data", views, covariates={"batch": BATCH})
    with pytest.raises(ValueError, match=r"has \['x'\], which are views too"):
        own.write(tmp_path / "new", views, covariates={"x": BATCH})


def test_a_models_rows_have_them_beside_views(tmp_path):
    own.write(tmp_path / "data", VIEWS, covariates={"batch": BATCH})
    found = record_files.open_dataset(tmp_path / "data")
    read = own.to_model(found, {"x": VIEWS["x"][:2], "batch": "A"}, "given")
    np.testing.assert_array_equal(read[COVARIATES], [[1, 0, 0]] * 2)
    assert found.filled(read).keys() == {"x"}  # nobody takes them for a view
    with pytest.raises(ValueError, match=r"`given` lacks the covariates \['batch'\]"):
        own.to_model(found, {"x": VIEWS["x"][:2]}, "given")


def test_files_hold_them_by_name(tmp_path):
    (tmp_path / "a.npz").write_bytes(npz(VIEWS | {"batch": BATCH, "age": AGE}))
    found = view_files.read(tmp_path / "a.npz", covariates=["batch", "age"])
    assert found.views.keys() == VIEWS.keys()
    np.testing.assert_array_equal(found.covariates["batch"], BATCH)
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "x.csv").write_text("id,x,age\np1,1,30\np2,2,41.5\n")
    (folder / "y.csv").write_text("id,batch,y,site\np2,B,2,1\np1,A,3,2\n")
    found = view_files.read(folder, covariates=["batch", "age", "site"], labels="batch")
    assert found.views.keys() == {"x", "y"} and found.ids == ("p1", "p2")
    assert found.covariates["batch"].tolist() == ["A", "B"]
    assert found.covariates["age"].tolist() == [30.0, 41.5]
    assert found.covariates["site"].dtype.kind == "i" and found.classes == ("A", "B")
    with pytest.raises(ValueError, match="`covariates` is 'hospital', expected one of"):
        view_files.read(folder, covariates=["hospital"])
