"""Views of one's own that do not fit: drawn at random, each told in one line.

A case takes sound views, spoils one of them in one way, and puts them where a user may
have them: a dictionary, a .npz, a folder of .npy, a folder of .csv.
"""

import io
import zipfile

import entered
import numpy as np
import pytest
from entered import contents

import jnf_jax
from jnf_jax.experiments import run as experiments_run
from jnf_jax.runtime.files import npz

pytestmark = pytest.mark.usefixtures("user_cache")

NUM_CASES = 200
SIZE = 24
NAMES = ("assay", "counts", "photo")
HOSTILE = (
    *("", "a.b", "a+b", "..", "../../x", "a/b", "default", "mean", "a b", "a" * 65),
    *("\u00e4", "a\nb", "$(x)", "a\0b", "-", "*"),
)
"""Names; "-" is a good one, which some case has to be, too: it is left out below."""


def sound(rng):
    """Three views of 24 rows."""
    return {
        "assay": rng.normal(0, 5, (SIZE, int(rng.integers(1, 4)))),
        "counts": rng.poisson(3, SIZE),
        "photo": rng.integers(0, 256, (SIZE, 4, 4, 1)).astype(np.uint8),
    }


# --- what is done to them: views are changed in place, what is told is returned -------


def at(x, rng):
    return tuple(int(rng.integers(size)) for size in x.shape)


def bad_value(views, rng):
    """An infinity, more than float32 holds."""
    m, bad = "assay", rng.choice([np.inf, -np.inf, 1e300, -3e39])
    views[m][at(views[m], rng)] = bad
    return f"`views.{m}` has 1 values that are infinite"


def large_integer(views, rng):
    views["counts"] = views["counts"].astype(np.int64)
    large = int(rng.integers(2**24 + 1, 2**62)) | 1
    views["counts"][at(views["counts"], rng)] = large * int(rng.choice([-1, 1]))
    return "`views.counts` has 1 integers that float32 cannot hold"


def all_missing(views, rng):
    m = rng.choice(["assay", "counts"])
    views[m] = np.full(np.shape(views[m]), np.nan)
    return f"`views.{m}` is missing in all rows"


def no_view(views, rng):
    """A row that no view has."""
    row = int(rng.integers(SIZE))
    for m in list(views):
        views[m] = views[m].astype(float)
        views[m][row] = np.nan
    return f"`views`: row {row} has no view"


def empty(views, rng):
    m = rng.choice(NAMES)
    views[m] = (
        views[m].reshape(SIZE, -1)[:, :0] if rng.random() < 0.5 else np.zeros((0, 2))
    )
    return f"`views.{m}` has shape"


def few_rows(views, rng):
    num = int(rng.integers(1, 20))
    for m in list(views):
        views[m] = views[m][:num]
    return f"`views` have {num} rows, expected 20 or more"


def other_length(views, rng):
    m = rng.choice(NAMES)
    views[m] = views[m][: int(rng.integers(1, SIZE))]
    return f"`views` has rows {{'assay': {len(views['assay'])}"


def alone(views, rng):
    m = rng.choice(NAMES)
    for other in set(NAMES) - {m}:
        del views[other]
    return f"`views` has ['{m}'] alone, expected two or more"


def wrong_axes(views, rng):
    num = int(rng.integers(4, 7))
    views["assay"] = np.zeros((SIZE, *[2] * num))
    return f"`views.assay` has shape {views['assay'].shape}, expected"


def bytes_without_channel(views, rng):
    views["photo"] = views["photo"][..., 0]
    return "`views.photo` has bytes of shape"


def no_number(views, rng):
    m = rng.choice(NAMES)
    kind = rng.choice(["U3", "S3", "M8[s]", "m8[s]", "complex64", "V4"])
    views[m] = np.zeros(SIZE, kind)
    return f"`views.{m}` has dtype {views[m].dtype}, expected numbers"


def structured(views, rng):
    m = rng.choice(NAMES)
    views[m] = np.zeros(SIZE, [("x", "f4"), ("y", "i4")])
    return f"`views.{m}` has dtype"


def hostile_name(views, rng):
    name = str(rng.choice([n for n in HOSTILE if n != "-"]))
    views[name] = views.pop(str(rng.choice(NAMES)))
    return f"has a view named {name!r}, expected 1 to 64 letters"


FAULTS = (
    *(bad_value, large_integer, all_missing, no_view, empty, few_rows, other_length),
    *(alone, wrong_axes, bytes_without_channel, no_number, structured, hostile_name),
)


# --- where they lie: written to the folder, the path returned -------------------------


def as_npz(views, folder):
    (folder / "x.npz").write_bytes(npz(views))
    return "x.npz"


def as_npy(views, folder):
    (folder / "x").mkdir()
    for m, x in views.items():
        np.save(folder / "x" / f"{m}.npy", x, allow_pickle=False)
    return "x"


# --- and what is done to files: they are damaged, what is told is returned ------------


def objects(folder, rng):
    array = io.BytesIO()
    np.save(array, np.array([{}, None], object), allow_pickle=True)
    with zipfile.ZipFile(folder / "x.npz", "a") as archive:
        archive.writestr("objects.npy", array.getvalue())
    return "x.npz is damaged, or no .npy or .npz of arrays of numbers: Object arrays"


def truncated(folder, rng):
    path = folder / "x.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(len(content) - 1))])
    return "x.npz is damaged, or no .npy or .npz"


def flipped(folder, rng):
    """A bit of what an array is compressed to: its checksum tells."""
    path = folder / "x.npz"
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("photo.npy")
    start = info.header_offset + 30 + len("photo.npy") + 20  # with its 64-bit sizes
    content[start + int(rng.integers(info.compress_size - 1))] ^= 1 << int(
        rng.integers(8)
    )
    path.write_bytes(content)
    return "x.npz is damaged, or no .npy or .npz"


def no_array(folder, rng):
    with zipfile.ZipFile(folder / "x.npz", "a") as archive:
        archive.writestr("note.txt", "text\nmore")
    return "`views` has a view named 'note.txt', expected"


def huge(folder, rng):
    """A header that claims more than any memory."""
    head = io.BytesIO()
    about = {"descr": "<f8", "fortran_order": False, "shape": (2**48, 2**10)}
    np.lib.format.write_array_header_1_0(head, about)
    with zipfile.ZipFile(folder / "x.npz", "a") as archive:
        archive.writestr("huge.npy", head.getvalue())
    return "x.npz is damaged, or no .npy or .npz"


def garbage(folder, rng):
    (folder / "x.npz").write_bytes(rng.bytes(int(rng.integers(200))))
    return "x.npz is damaged, or no .npy or .npz"


def away(folder, rng):
    (folder / "x.npz").unlink()
    return "`data.path` is 'x.npz', which is not there, expected a .npz"


DAMAGES = (objects, truncated, flipped, no_array, huge, garbage, away)


def spoiled_table(folder, rng):
    """Two sound tables, a cell, an id or a line of which is spoiled."""
    (folder / "x").mkdir()
    tables = {}
    for m in ("assay", "counts"):
        x = np.round(rng.normal(0, 5, (SIZE, 2)), 2)
        tables[m] = [
            ["id", "x", "y"],
            *([f"p{i}", *map(str, x[i])] for i in range(SIZE)),
        ]
    m = str(rng.choice([*tables]))
    row, column = int(rng.integers(1, SIZE + 1)), int(rng.integers(1, 3))
    table, where = tables[m], f"`data.path.{m}` ('{m}.csv')"
    kind = rng.integers(6)
    if kind == 0:
        table[row][column] = str(
            rng.choice(["f", "1,5", "inf", "1e99", "1_0", "--", "#"])
        )
        table[row][column] = f'"{table[row][column]}"'
        told = f"{where}: line {row + 1}, column {table[0][column]!r} is "
    elif kind == 1:
        table[row][0] = table[row % SIZE + 1][0]
        told = f"{where}: line {max(row, row % SIZE + 1) + 1} has the id "
    elif kind == 2:
        table[row][0] = " "
        told = f"{where}: line {row + 1} has no id"
    elif kind == 3:
        table[row] = table[row][:-1] if rng.random() < 0.5 else [*table[row], "1"]
        told = f"{where}: line {row + 1} has {len(table[row])} cells, expected 3"
    elif kind == 4:
        table[0][column] = str(rng.choice(["", "id"]))
        told = f"{where} has a column {table[0][column]!r} without a name of its own"
    else:
        del table[1:]
        told = f"{where} has no rows"
    for name, lines in tables.items():
        text = "\n".join(",".join(cells) for cells in lines)
        (folder / "x" / f"{name}.csv").write_text(text)
    return "x", told


def draw(number, folder):
    """The path in the folder, or arrays; and what is to be told of them."""
    rng = np.random.default_rng([7, number])
    place = ("arrays", "npz", "npy", "damage", "csv")[number % 5]
    if place == "csv":
        return spoiled_table(folder, rng)
    views = sound(rng)
    if place == "damage":
        path = as_npz(views, folder)
        return path, DAMAGES[number // 5 % len(DAMAGES)](folder, rng)
    fault = FAULTS[number // 5 % len(FAULTS)]
    told = fault(views, rng)
    if place == "arrays":
        return views, told
    # Names that are none of a file, or of a member of an archive.
    is_file_name = all(m and not set(m) & set("/\0") for m in views)
    as_files = as_npz if place == "npz" or not is_file_name else as_npy
    if any("\0" in m for m in views):
        return views, told
    return as_files(views, folder), told


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def entry(monkeypatch, capsys):
    with entered.programs_here(monkeypatch, capsys) as run:
        yield run


@pytest.mark.parametrize("number", range(NUM_CASES))
def test_views_that_do_not_fit_are_one_line(number, here, entry):
    views, told = draw(number, here)
    before = contents(here)
    if isinstance(views, str):
        options = (f"--config.data.path={views}", "--workdir=w")
        told = told.replace("`views` has a view", "has a view")
        entered.check(*entry("train", "--config=own/jnf", *options), told)
    else:
        with pytest.raises(ValueError) as raised:
            jnf_jax.fit(views, workdir="w")
        assert told in str(raised.value)
        assert len(str(raised.value).splitlines()) == 1
    assert contents(here) == before


def test_sound_views_reach_training(here, entry, monkeypatch):
    """What the cases above spoil is fit to be trained on, in every place."""

    class Reached(Exception):
        pass

    def open_experiment(config):
        raise Reached(sorted(config.model.networks))

    monkeypatch.setattr(experiments_run, "open_experiment", open_experiment)
    rng = np.random.default_rng(0)
    views = sound(rng)
    with pytest.raises(Reached):
        jnf_jax.fit(views, workdir="w")
    with pytest.raises(Reached):  # what was converted is opened where it is
        jnf_jax.fit("w/data", workdir="v")
    assert not (here / "v").exists()
    for number, as_files in enumerate((as_npz, as_npy)):
        path = f"--config.data.path={as_files(views, here)}"
        with pytest.raises(Reached, match="'assay', 'counts', 'default', 'photo'"):
            entry("train", "--config=own/jnf", path, f"--workdir=w{number}")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--config=digits/jnf",), "`data.path` is 'x.npz', which goes with own/jnf"),
        (
            ("--config=own/jnf", "--config.data.labels.x=1"),
            "`data.labels.x` is '1', expected `data.labels`",
        ),
        (
            ("--config=own/jnf", "--config.data.labels=kind"),
            "`labels` is 'kind', expected one of 'assay', 'counts', 'photo'",
        ),
        (
            ("--config=own/jnf", "--config.data.scaling=log1p"),
            "`data.scaling` is 'log1p', expected `data.scaling.VIEW`",
        ),
        (
            ("--config=own/jnf", "--config.data.scaling.assay=log1p"),
            "`data.scaling.assay` is 'log1p', but row 0 of `views.assay` has -",
        ),
        (
            ("--config=own/jnf", "--config.data.id_column=id"),
            "`data.id_column` is 'id', expected '' of .npz",
        ),
        (("--config=own/jnf", "--config.seed=-1"), "`seed` is -1, expected an integer"),
        (("--config=own/jnf", "--config.jiont.seed=1"), "`jiont` is unknown, expected"),
        (
            ("--config=own/jnf", "--config.joint.batch_size=21"),
            "`joint.batch_size` is 21, expected at most the 20 training tuples",
        ),
        (
            ("--config=own/jnf", "--config.model.likelihoods.asay.scale=1"),
            "asay",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_options_of_views_that_do_not_fit(options, told, here, entry):
    views = sound(np.random.default_rng(0))
    views["assay"][0] = -1.0
    as_npz(views, here)
    before = contents(here)
    options = (*options, "--config.data.path=x.npz", "--workdir=w")
    entered.check(*entry("train", *options), told)
    assert contents(here) == before
