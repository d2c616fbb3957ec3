"""Files of views: each kind holds the same numbers; what does not fit is one line."""

import numpy as np
import pytest

from jnf_jax.data import mudata_file, own, record_files, view_files

RNG = np.random.default_rng(0)
SIZE = 30
IDS = [f"p{row}" for row in range(SIZE)]
VIEWS = {
    "assay": np.round(RNG.normal(0, 5, (SIZE, 3)), 3),
    "counts": RNG.poisson(3, (SIZE, 2)),
}
GROUPS = np.array(["control", "treated", "none"])[np.arange(SIZE) % 3]


def write_csv(path, ids, x, **columns):
    lines = [",".join(["id", *(f"x{i}" for i in range(x.shape[1])), *columns])]
    for row, name in enumerate(ids):
        more = [str(column[row]) for column in columns.values()]
        lines.append(",".join([name, *map(str, x[row].tolist()), *more]))
    path.write_text("\n".join(lines) + "\n")


def write_npz(folder):
    np.savez(folder / "views.npz", **VIEWS, group=GROUPS)
    return folder / "views.npz"


def write_npy(folder):
    for m, x in (VIEWS | {"group": GROUPS}).items():
        np.save(folder / f"{m}.npy", x)
    (folder / "README.txt").write_text("left alone")
    return folder


def write_tables(folder):
    """The lines of the second file are in another order."""
    order = RNG.permutation(SIZE)
    write_csv(folder / "assay.csv", IDS, VIEWS["assay"])
    ids, counts = [IDS[row] for row in order], VIEWS["counts"][order]
    write_csv(folder / "counts.csv", ids, counts, group=GROUPS[order])
    return folder


def write_paths(folder):
    """Labels in a file of their own, which is no view."""
    write_csv(folder / "a.csv", IDS, VIEWS["assay"])
    write_csv(folder / "c.csv", IDS, VIEWS["counts"])
    write_csv(folder / "l.csv", IDS, np.zeros((SIZE, 0)), group=GROUPS)
    names = {"assay": "a.csv", "counts": "c.csv", "labels": "l.csv"}
    return {m: folder / name for m, name in names.items()}


def write_mudata(folder):
    pytest.importorskip("mudata")
    import anndata
    import mudata
    import pandas
    from scipy import sparse

    obs = pandas.DataFrame({"group": GROUPS}, index=IDS)
    counts = sparse.csr_matrix(VIEWS["counts"].astype(np.float32))
    mods = {
        "assay": anndata.AnnData(VIEWS["assay"], obs[[]]),
        "counts": anndata.AnnData(counts, obs),
    }
    mudata_file._quietly(lambda: mudata.MuData(mods).write(folder / "cells.h5mu"))
    return folder / "cells.h5mu"


@pytest.mark.parametrize(
    "write", [write_npz, write_npy, write_tables, write_paths, write_mudata]
)
def test_every_kind_of_file_holds_the_same(write, tmp_path):
    found = view_files.read(write(tmp_path), labels="group")
    assert set(found.views) == set(VIEWS)
    np.testing.assert_array_equal(found.views["assay"], VIEWS["assay"])
    np.testing.assert_array_equal(found.views["counts"], VIEWS["counts"])
    assert found.views["counts"].dtype.kind == "i"
    assert found.classes == ("control", "none", "treated")
    np.testing.assert_array_equal(np.array(found.classes)[found.labels], GROUPS)


def test_lines_are_joined_by_id_and_what_is_not_there_is_masked(tmp_path):
    (tmp_path / "a.csv").write_text("id,x,y\n p1 ,1,2\n\np2,,nan\np4,3,NA\n")
    (tmp_path / "b.csv").write_text(
        "\ufeffid,z,g\np3,5.5,1\np1,6,0\np4,7e1,2\np2,1,1\n"
    )
    found = view_files.read(tmp_path, labels="g")
    a, b = found.views["a"], found.views["b"]
    np.testing.assert_array_equal(a.mask, [[0, 0], [1, 1], [0, 1], [1, 1]])
    np.testing.assert_array_equal(a.data, [[1, 2], [0, 0], [3, 0], [0, 0]])
    np.testing.assert_array_equal(b, [[6], [1], [70], [5.5]])
    assert not isinstance(b, np.ma.MaskedArray) and a.dtype == np.int64
    assert found.labels.tolist() == [0, 1, 2, 1] and found.classes == ()
    by = view_files.read(tmp_path, id_column="id")
    assert by.views["b"].shape == (4, 2)  # "g" is a column as any other


def test_a_row_without_a_line_lacks_the_view(tmp_path):
    write_csv(tmp_path / "assay.csv", IDS[::-1], VIEWS["assay"][::-1])
    write_csv(tmp_path / "counts.csv", IDS[:20], VIEWS["counts"][:20])
    given = view_files.read(tmp_path)
    own.write(tmp_path / "data", given.views, classes=given.classes)
    found = record_files.open_dataset(tmp_path / "data")
    lacking = sum(int(np.sum(~split.has_all)) for split in found.splits.values())
    assert lacking == 10 and found.ranges["counts"] == (
        VIEWS["counts"][:20].min(),
        VIEWS["counts"][:20].max(),
    )


A = "id,x\np1,1\np2,2\n"


@pytest.mark.parametrize(
    ("b", "told"),
    [
        ("id;y\np1;1\n", "has the column 'id;y' alone, expected ids and one or more"),
        ("", "has no rows, expected a line of names and some"),
        ("id,y\n", "has no rows, expected a line of names and some"),
        ("id,y,y\np1,1,2\n", "has a column 'y' without a name of its own"),
        ("id,\np1,1\n", "has a column '' without a name of its own"),
        ("id,y\np1,1\np1,2\n", "line 3 has the id 'p1' of line 2, expected each once"),
        ("id,y\n ,1\n", "line 2 has no id, expected one"),
        ("id,y\np1,1,2\n", "line 2 has 3 cells, expected 2"),
        ("id,y\np1,f\n", "line 2, column 'y' is 'f', expected a number that float32"),
        ("id,y\np1,1_000\n", "line 2, column 'y' is '1_000', expected a number"),
        ("id,y\np1,inf\n", "line 2, column 'y' is 'inf', expected a number that flo"),
        ("id,y\np1,1e300\n", "line 2, column 'y' is '1e300', expected a number that"),
        ("id,y\np1,16777217\n", "is '16777217', expected no more digits than float32"),
        ("id,y\np1," + "9" * 5_000, "line 2, column 'y' is '99999.*99', expected"),
        ('id,y\np1,"1\n', "is no CSV in UTF-8: unexpected end of data"),
        (b"id,y\np1,\xff\n", "is no CSV in UTF-8: 'utf-8' codec can't decode"),
        ("id,y\nq1,1\n", "`views`: no id is in two files, expected some; the first"),
    ],
)
def test_tables_that_are_refused(b, told, tmp_path):
    (tmp_path / "a.csv").write_text(A)
    (tmp_path / "b.csv").write_bytes(b if isinstance(b, bytes) else b.encode())
    where = "" if told.startswith("`") else r"`views.b` \('b.csv'\)"
    with pytest.raises(ValueError, match=f"{where}.*{told}") as raised:
        view_files.read(tmp_path)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("group", r"`labels` is 'group', expected one of the columns \['g', 'x'\]"),
        ("g", "`labels`: the id 'p2' has none in the column 'g', expected one of"),
    ],
)
def test_labels_that_are_not_there_are_told(labels, told, tmp_path):
    (tmp_path / "a.csv").write_text(A)
    (tmp_path / "b.csv").write_text("id,g\np1,1\np2,\n")
    with pytest.raises(ValueError, match=told):
        view_files.read(tmp_path, labels=labels)


def test_two_files_may_not_label_a_row_differently(tmp_path):
    (tmp_path / "a.csv").write_text("id,x,g\np1,1,m\n")
    (tmp_path / "b.csv").write_text("id,y,g\np1,1,f\n")
    with pytest.raises(
        ValueError, match="line 2 has 'f' in the column 'g', another file 'm'"
    ):
        view_files.read(tmp_path, labels="g")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), "holds neither .npy nor .csv files, expected a .npz"),
        (("a.npy", "b.csv"), "holds both .npy and .csv files, expected"),
        (("a.npy", "b+c.npy"), r"`views` has a view named 'b\+c', expected 1 to 64"),
        (("default.csv",), "`views` has a view named 'default', expected"),
    ],
)
def test_folders_that_are_refused(names, told, tmp_path):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=told):
        view_files.read(tmp_path)


def test_paths_that_are_refused(tmp_path):
    (tmp_path / "x.csv").write_text(A)
    for views, told in (
        (tmp_path / "absent.npz", "absent.npz', which is not there, expected a .npz"),
        (tmp_path / "x.csv", "x.csv', expected a .npz, a .h5mu, or a folder of .npy"),
        ("", "`views` is '', expected a path"),
        ({"a": tmp_path / "x.csv", "b": np.zeros(3)}, "`views.b` is ndarray, expected"),
        ({"a": "y.csv"}, "`views.a` is 'y.csv', expected a .csv file that is there"),
        ({"a/..": "x.csv"}, "`views` has a view named 'a/..', expected"),
    ):
        with pytest.raises(ValueError, match=told):
            view_files.read(views)
    with pytest.raises(ValueError, match="`data.id_column` is 'id', expected '' of .n"):
        view_files.read(write_npz(tmp_path), id_column="id")


# --- MuData -------------------------------------------------------------------


@pytest.fixture
def cells(tmp_path):
    """Thirty cells, of which twenty have protein, in another order."""
    pytest.importorskip("mudata")
    import anndata
    import mudata
    import pandas

    order = RNG.permutation(SIZE)[:20]
    protein = VIEWS["assay"][order]
    obs = pandas.DataFrame(index=IDS)
    mods = {
        "rna": anndata.AnnData(VIEWS["counts"], obs),
        "protein": anndata.AnnData(protein, obs.iloc[order]),
    }
    path = tmp_path / "cells.h5mu"
    mudata_file._quietly(lambda: mudata.MuData(mods).write(path))
    return path, order


def test_cells_that_a_modality_lacks_are_masked(cells):
    path, order = cells
    found = view_files.read(path).views
    protein = found["protein"]
    assert protein.mask.all(axis=1).sum() == 10 and not protein.mask[order].any()
    np.testing.assert_array_equal(protein[order], VIEWS["assay"][order])
    np.testing.assert_array_equal(found["rna"], VIEWS["counts"])


def test_results_go_back_to_their_cells(cells, tmp_path):
    import mudata

    path, order = cells
    z, shown = RNG.normal(size=(SIZE, 2)), RNG.normal(size=(SIZE, 3))
    out = mudata_file.write(
        path, tmp_path / "out.h5mu", obsm={"X_jnf": z}, layers={"protein": {"j": shown}}
    )
    found = mudata_file._quietly(lambda: mudata.read_h5mu(out))
    rows = [IDS.index(name) for name in found.obs_names]
    np.testing.assert_array_equal(found.obsm["X_jnf"], z[rows])
    of_protein = [IDS.index(name) for name in found["protein"].obs_names]
    assert sorted(of_protein) == sorted(order)
    np.testing.assert_array_equal(found["protein"].layers["j"], shown[of_protein])
    np.testing.assert_array_equal(found["protein"].X, VIEWS["assay"][of_protein])
    again = view_files.read(out).views
    np.testing.assert_array_equal(
        again["protein"], view_files.read(path).views["protein"]
    )
    for changes, told in (
        (
            {"obsm": {"z": z[:4]}},
            r"`obsm.z` has shape \(4, 2\), expected \[30, 'any'\]",
        ),
        ({"layers": {"dna": {}}}, r"`layers` has 'dna', expected one of \['rna', 'pr"),
        ({"layers": {"rna": {"j": z[:, :1]}}}, r"`layers.rna.j` has shape \(30, 1\)"),
    ):
        with pytest.raises(ValueError, match=told):
            mudata_file.write(path, tmp_path / "no.h5mu", **changes)
    with pytest.raises(ValueError, match="`out` is 'x.h5ad', expected a .h5mu"):
        mudata_file.write(path, "x.h5ad")
    assert {p.name for p in tmp_path.iterdir()} == {"cells.h5mu", "out.h5mu"}


def test_cells_that_are_refused(cells):
    path, _ = cells
    with pytest.raises(ValueError, match="`labels` is 'kind', expected a column of"):
        view_files.read(path, labels="kind")
    path.write_bytes(path.read_bytes()[:4_000])
    with pytest.raises(ValueError, match="`data.path` '.*' is no .h5mu: .*truncated"):
        view_files.read(path, "data.path")


def test_without_the_extra_its_name_is_told(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "mudata", None)
    (tmp_path / "x.h5mu").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"the extra mudata reads: .*jnf_jax\[mudata\]"
    ):
        view_files.read(tmp_path / "x.h5mu")
