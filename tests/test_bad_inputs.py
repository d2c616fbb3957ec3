"""What a user gets wrong is one line and exit status 2, and leaves nothing behind.

Each case runs a program's entry in this process; two run as processes of their own: one
is told before jax is imported, one after.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import entered
import numpy as np
import pytest
import stored_tuples
from entered import contents
from tiny import tiny_config

from jnf_jax import programs
from jnf_jax.experiments import logs

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("user_cache")

RECORDS = "--config=own/jnf:data"
DIGITS = "--config=digits/jnf"
TRAIN, SAMPLE, EVALUATE = (
    ("train", "--workdir=w"),
    ("sample", "--workdir=run", "--out=x.png"),
    ("evaluate", "--workdir=run"),
)
ROWS = (*SAMPLE[:2], "--given-file=rows.npz", "--out=x.npz")
IMPUTE = ("impute", "--workdir=run", "--input=rows.npz", "--out=x.npz")


class Case(NamedTuple):
    """A command line, what is said of it, and what was done to the folder before."""

    arguments: tuple[str, ...]
    told: str
    before: object = lambda folder: None


# --- what is done to the folder -----------------------------------------------


def writes(name, content):
    """A file of that name."""

    def before(folder):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return before


def manifest(change):
    """The records' manifest, changed in place by ``change(dict)``."""

    def before(folder):
        path = folder / "data" / "manifest.json"
        tree = json.loads(path.read_text())
        change(tree)
        path.write_text(json.dumps(tree))

    return before


def sets(path, value):
    """Likewise, one field of it; None removes it."""
    *above, last = path.split(".")

    def change(tree):
        for name in above:
            tree = tree[name]
        if value is None:
            del tree[last]
        else:
            tree[last] = value

    return manifest(change)


def edits(name, edit):
    """The bytes of a file, edited."""

    def before(folder):
        (path,) = folder.glob(name)
        path.write_bytes(edit(bytearray(path.read_bytes())))

    return before


def flips(position):
    def edit(content):
        content[position] ^= 1
        return content

    return edit


def removes(name):
    def before(folder):
        (path,) = folder.glob(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return before


def rows_file(**arrays):
    return lambda folder: np.savez(folder / "rows.npz", **arrays)


def labels_file(labels):
    """Labels of the training split, edited as one edits a file of them."""

    def before(folder):
        path = folder / "data" / "train-labels.npy"
        np.save(path, labels)
        files = {"train-labels.npy": path.stat().st_size}
        manifest(lambda tree: tree["splits"]["train"]["files"].update(files))(folder)

    return before


def twice(folder):
    path = folder / "data" / "manifest.json"
    path.write_text(path.read_text().replace('"b": [', '"a": ['))


CONFIG = "def get_config():\n    "

CASES = [
    # Flags.
    Case(("train", "--workdir=w"), "flag --config=None: Flag --config must have"),
    Case(("train", DIGITS), "flag --workdir=None: Flag --workdir must have"),
    Case(("evaluate",), "flag --workdir=None: Flag --workdir must have"),
    Case(("sample", "--workdir=run"), "flag --out=None: Flag --out must have"),
    Case((*TRAIN, DIGITS, "--wordir=w"), "Unknown command line flag 'wordir'"),
    Case((*TRAIN, DIGITS, "more"), "unexpected arguments ['more']"),
    Case((*TRAIN, DIGITS, "--evaluate=perhaps"), "flag --evaluate=perhaps: "),
    Case((*TRAIN, DIGITS, "--config.seed"), "`--config.seed` has no value"),
    Case((*SAMPLE, "--num=0"), "flag --num=0: "),
    Case((*SAMPLE, "--num=200000"), "flag --num=200000: "),
    Case((*SAMPLE, "--num=many"), "flag --num=many: "),
    Case((*SAMPLE, "--seed=-1"), "flag --seed=-1: "),
    # Configs.
    Case((*TRAIN, "--config=digits/jnff"), "Did you mean 'digits/jnf'"),
    Case((*TRAIN, "--config=mine.py"), "`--config`: mine.py is no file"),
    Case((*TRAIN, "--config=data"), "`--config`: 'data' is no config, expected"),
    Case(
        (*TRAIN, "--config=mine.py"),
        "mine.py:1: ",
        writes("mine.py", "def get_config(:"),
    ),
    Case((*TRAIN, "--config=mine.py"), "has no get_config()", writes("mine.py", "")),
    Case(
        (*TRAIN, "--config=mine.py"),
        "get_config() of mine.py returned dict, expected",
        writes("mine.py", CONFIG + "return {}"),
    ),
    Case(
        (*TRAIN, "--config=mine.py"),
        "get_config() of mine.py raised KeyError: 'a' (",
        writes("mine.py", CONFIG + "return {}['a']"),
    ),
    Case(
        (*TRAIN, "--config=mine.py"),
        "mine.py raised ModuleNotFoundError: No module named 'absent' (",
        writes("mine.py", "import absent"),
    ),
    Case((*TRAIN, "--config=digits/jnf:x"), "'digits/jnf' takes no argument, got 'x'"),
    Case((*TRAIN, "--config=digits/jnf_after"), "takes an argument, expected one of"),
    Case((*TRAIN, "--config=digits/jnf_after:gm"), "Did you mean 'digits/jnf_after:gm"),
    Case((*TRAIN, "--config=own/jnf:absent"), "absent holds no manifest.json"),
    # Fields.
    Case((*TRAIN, DIGITS, "--config.jiont.seed=1"), "`jiont` is unknown, expected one"),
    Case(
        (*TRAIN, DIGITS, "--config.joint.chekpoint_every=3"),
        "`joint.chekpoint_every` is unknown, expected one of",
    ),
    Case(
        (*TRAIN, DIGITS, "--config.joint.num_steps=many"),
        "`joint.num_steps` is 'many' (str), expected an integer",
    ),
    Case(
        (*TRAIN, DIGITS, "--config.joint.checkpoint_every=-1"),
        "`joint.checkpoint_every` is -1, expected >= 0",
    ),
    Case(
        (*TRAIN, DIGITS, "--config.optimizer.learning_rate=nan"),
        "`optimizer.learning_rate` is nan, expected a finite number",
    ),
    Case(
        (*TRAIN, DIGITS, "--config.optimizer.schedule=cosin"),
        "`optimizer.schedule` is 'cosin', expected one of",
    ),
    Case((*TRAIN, DIGITS, "--config.method=jfn"), "`method` is 'jfn', expected one of"),
    Case((*TRAIN, DIGITS, "--config.data.name=digit"), "`data.name` is 'digit', expec"),
    Case((*TRAIN, DIGITS, "--config.joint=3"), "`joint` is 3, expected a section"),
    Case((*TRAIN, DIGITS, "--config.seed.x=3"), "`seed.x` is unknown: `seed` is 0, no"),
    Case((*TRAIN, DIGITS, "--config.seed=1.5"), "`seed` is 1.5 (float), expected an i"),
    Case((*TRAIN, DIGITS, "--config.stages=jont"), "`stages` has 'jont', expected one"),
    Case((*TRAIN, DIGITS, "--config.stages=joint,"), "`stages` has '', expected one o"),
    Case((*TRAIN, DIGITS, "--config.stages="), "`stages` is empty, expected one or mo"),
    Case((*TRAIN, DIGITS, "--config.init.jont=x"), "`init.jont` is unknown, expected"),
    Case(
        (*TRAIN, DIGITS, "--config.sampler.kernel=nut"),
        "`sampler.kernel` is 'nut', expected one of",
    ),
    Case(
        (*TRAIN, DIGITS, "--config.evaluation.measures=likelyhood"),
        "`evaluation.measures` has 'likelyhood', expected one of",
    ),
    Case(
        (*TRAIN, DIGITS, "--config.model.likelihoods.default.name=gauss"),
        "`model.likelihoods.default.name` is 'gauss', expected one of",
    ),
    Case(
        (*TRAIN, DIGITS, "--config.flow.num_blocks=-1"),
        "`flow.num_blocks` is -1, expected >= 0",
    ),
    # What does not go with the data.
    Case(
        (*TRAIN, RECORDS, "--config.joint.batch_size=71"),
        "`joint.batch_size` is 71, expected at most the 70 training tuples",
    ),
    Case(
        (*TRAIN, RECORDS, "--config.evaluation.num_tuples=11"),
        "`evaluation.num_tuples` is 11, expected at most the 10 test tuples",
    ),
    Case((*TRAIN, "--config=own/jnf"), "`data.records_dir` is '', expected the folder"),
    # Data in files.
    Case((*TRAIN, RECORDS), "data holds no manifest.json", removes("data")),
    Case(
        (*TRAIN, RECORDS),
        "manifest.json is not JSON: Expecting value: line 1 column 1 (char 0)",
        writes("data/manifest.json", ""),
    ),
    Case(
        (*TRAIN, RECORDS),
        "manifest.json is not JSON: 'utf-8' codec can't decode",
        writes("data/manifest.json", b"\xff\xfe"),
    ),
    Case(
        (*TRAIN, RECORDS),
        "manifest.json holds list, expected an object",
        writes("data/manifest.json", "[]"),
    ),
    Case((*TRAIN, RECORDS), "manifest.json is not JSON: it names 'a' twice", twice),
    Case((*TRAIN, RECORDS), "`shapes` is missing, expected", sets("shapes", None)),
    Case((*TRAIN, RECORDS), "`splits` is missing, expected", sets("splits", None)),
    Case((*TRAIN, RECORDS), "`name` is 7, expected", sets("name", 7)),
    Case((*TRAIN, RECORDS), "got format 2, expected 1", sets("format", 2)),
    Case(
        (*TRAIN, RECORDS),
        "`num_classes` is 'missing', expected",
        sets("num_classes", None),
    ),
    Case(
        (*TRAIN, RECORDS),
        "`splits` is ['test', 'train'], expected ['test', 'train', 'validation']",
        sets("splits.validation", None),
    ),
    Case(
        (*TRAIN, RECORDS),
        "`splits.train.size` is 'many', expected a number of rows",
        sets("splits.train.size", "many"),
    ),
    Case(
        (*TRAIN, RECORDS),
        "`shapes.a` is [3, '4', 1], expected one to three sizes >= 1",
        sets("shapes.a", [3, "4", 1]),
    ),
    Case(
        (*TRAIN, RECORDS),
        "rows of split 'train' have 24 bytes, expected 27 by the shapes in",
        sets("shapes.a", [3, 5, 1]),
    ),
    Case(
        (*TRAIN, RECORDS),
        "`floats.a` is [0], expected two numbers",
        sets("floats", {"a": [0]}),
    ),
    Case(
        (*TRAIN, RECORDS),
        "`scaling.a` is {'mean': [0.0]}, expected 1 means and scales",
        sets("scaling", {"a": {"mean": [0.0]}}),
    ),
    Case(
        (*TRAIN, RECORDS),
        "'test' has 10 rows, expected 9",
        sets("splits.test.size", 9),
    ),
    Case(
        (*TRAIN, RECORDS),
        "test-00000.array_record is missing, expected",
        removes("data/test-00000.array_record"),
    ),
    Case(
        (*TRAIN, RECORDS),
        "train-00000.array_record has",
        edits("data/train-00000.array_record", lambda content: content[:-9]),
    ),
    Case(
        (*TRAIN, RECORDS),
        "a row of split 'train' is damaged",
        edits("data/train-00000.array_record", flips(3_000)),
    ),
    Case(
        (*TRAIN, RECORDS),
        "a row of split 'train' is damaged",
        edits("data/train-00000.array_record", flips(65_575)),
    ),
    Case(
        (*TRAIN, RECORDS),
        "train-labels.npy is damaged, or no .npy",
        edits("data/train-labels.npy", flips(0)),
    ),
    Case(
        (*TRAIN, RECORDS),
        "train-labels.npy: row 3 is 9, expected a whole number from 0 to 4",
        labels_file(np.where(np.arange(70) == 3, 9, 0)),
    ),
    Case(
        (*TRAIN, RECORDS),
        "train-labels.npy: got bool[70], expected integers [70]",
        labels_file(np.zeros(70, bool)),
    ),
    # Folders of runs.
    Case((*TRAIN, RECORDS), "w is no folder", writes("w", "")),
    Case(
        ("train", "--workdir=/proc/w", RECORDS), "`--workdir` /proc/w cannot be written"
    ),
    Case(("evaluate", "--workdir=absent"), "`workdir` absent has no config.json"),
    Case(EVALUATE, "config.json is not JSON", writes("run/config.json", "{")),
    Case(EVALUATE, "`config` is missing, expected", writes("run/config.json", "{}")),
    Case(
        EVALUATE,
        "`method` is None, expected one of",
        writes("run/config.json", '{"config": {}, "config_file": "x"}'),
    ),
    Case(EVALUATE, "no checkpoint at "),
    Case((*EVALUATE, "--config.evaluation.num_tuples=9999"), "is 9999, expected at mo"),
    Case(SAMPLE, "no checkpoint at "),
    Case((*SAMPLE, "--given=m0,m7"), "`--given` is ['m0', 'm7'], expected distinct n"),
    Case((*SAMPLE, "--given=m0,m0"), "`--given` is ['m0', 'm0'], expected distinct n"),
    Case((*SAMPLE, "--given=m0,"), "`--given` is ['', 'm0'], expected distinct names"),
    Case((*SAMPLE, "--given="), "`--given` is empty, expected one or more of"),
    Case((*SAMPLE, "--given=m0", "--prior=normal"), "`--prior` is 'normal', expected"),
    Case((*SAMPLE, "--prior=gmm"), "`--prior` is 'gmm', expected one of ('normal',)"),
    Case((*ROWS, "--given=m0"), "`--given-file` goes with neither `--given` nor"),
    Case((*ROWS, "--out=x.png"), "`--out` is 'x.png', expected a .npz with"),
    Case(ROWS, "`--given-file` is 'rows.npz', which is not there, expected a .npz"),
    Case(ROWS, "rows.npz is damaged, or no .npy or .npz", writes("rows.npz", "text")),
    Case(
        ROWS,
        "rows.npz is damaged, or no .npy or .npz",
        rows_file(m0=np.array([None])),
    ),
    Case(
        ROWS,
        "rows.npz is a .npy by its content, expected a .npz",
        lambda folder: np.save(open(folder / "rows.npz", "wb"), np.zeros(3)),
    ),
    Case(ROWS, "run has no model.json, which training", rows_file(m0=np.zeros(3))),
    Case(
        ROWS,
        "model.json: `name` is missing, expected str",
        lambda folder: [
            rows_file(m0=np.zeros(3))(folder),
            writes("run/model.json", '{"format": 1}')(folder),
        ],
    ),
    Case(IMPUTE[:3], "flag --out=None: Flag --out must have"),
    Case((*IMPUTE, "--num_samples=0"), "flag --num_samples=0: "),
    Case((*IMPUTE, "--out=x.npy"), "`--out` is 'x.npy', expected a .npz"),
    Case((*IMPUTE, "--latent=z"), "`--latent` is 'z', expected a .npz"),
    Case(IMPUTE, "`--input` is 'rows.npz', which is not there, expected a .npz"),
    Case(
        IMPUTE,
        "rows.npz is a .npy by its content, expected a .npz",
        lambda folder: np.save(open(folder / "rows.npz", "wb"), np.zeros(3)),
    ),
    Case(IMPUTE, "run has no model.json, which training", rows_file(m0=np.zeros(3))),
    # Sweeps.
    Case(("sweep", "--workdir=w", DIGITS), "the sweep has faults:"),
    Case(
        ("sweep", "--workdir=w", "--config=ablations/beta", "--set=seed"),
        "`--set` is 'seed', expected FIELD=VALUE",
    ),
]


def test_there_are_as_many_as_were_asked_for():
    assert len(CASES) >= 80


# --- how they are run ---------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a data set, and with a run that is not trained yet."""
    folder = tmp_path_factory.mktemp("prepared")
    stored_tuples.write(folder / "data")
    config = tiny_config().to_dict()
    logs.write_config(folder / "run", config, "digits/jnf", "python …")
    return folder


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    """A copy of it, which is the current folder."""
    shutil.copytree(prepared, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def entry(monkeypatch, capsys):
    """``entry(program, *arguments)`` -> exit status and stderr, in this process."""
    with entered.programs_here(monkeypatch, capsys) as run:
        yield run


def check(case, status, err, before, folder):
    entered.check(status, err, case.told)
    assert contents(folder) == before


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.told[:40])
def test_a_bad_input_is_one_line(case, folder, entry):
    case.before(folder)
    before = contents(folder)
    check(case, *entry(*case.arguments), before, folder)


@pytest.mark.parametrize(
    "case",
    [
        Case((*TRAIN, DIGITS, "--wordir=w"), "Unknown command line flag 'wordir'"),
        Case((*TRAIN, RECORDS), "`shapes` is missing", sets("shapes", None)),
    ],
    ids=lambda case: case.told[:40],
)
def test_a_bad_input_is_one_line_of_a_process(case, folder, user_cache):
    case.before(folder)
    before = contents(folder)
    program, *arguments = case.arguments
    done = subprocess.run(
        [sys.executable, "-m", f"jnf_jax.{program}", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    (folder / "run" / programs.NOTICES).unlink(missing_ok=True)
    check(case, done.returncode, done.stderr, before, folder)
