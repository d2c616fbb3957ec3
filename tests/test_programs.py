"""The programs as a user starts them; what a user gets wrong, and is told."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import entered
import numpy as np
import pytest
from absl import flags
from PIL import Image

from jnf_jax import programs
from jnf_jax.experiments import records
from jnf_jax.methods.method import check_subset

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("user_cache")


@pytest.fixture
def entry(monkeypatch, capsys):
    """``entry(program, *arguments)`` -> exit status and stderr, in this process."""
    with entered.programs_here(monkeypatch, capsys) as run:
        yield run


def test_sample_draws_a_picture(trained, tmp_path, entry):
    out = tmp_path / "grid.png"
    where = (f"--workdir={trained[0]}", f"--out={out}")
    status, err = entry("sample", *where, "--given", "m0, m2", "--num=400")
    assert status == 0, err
    assert entry.out.splitlines()[:2] == [
        "drawing 400 tuples given m0, m2…",
        "the test split has 359 tuples: they are drawn given again",
    ]
    assert np.asarray(Image.open(out)).std() > 0


def test_evaluate_makes_cores_devices_before_all_else():
    program = (
        "from jnf_jax import evaluate; from jnf_jax.runtime import parallel; "
        "parallel.make_cores_devices = lambda: exit(7); evaluate.main([])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == 7


@pytest.mark.slow
def test_evaluate_records_its_own_command_and_commit(trained, tmp_path, entry):
    workdir, before = tmp_path / "run", trained[1]
    shutil.copytree(trained[0], workdir)
    out = tmp_path / "record.json"
    status, err = entry("evaluate", f"--workdir={workdir}", f"--out={out}")
    assert status == 0, err
    record = records.read(out)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True)
    assert record["evaluation_commit"].removesuffix("-dirty") == head.strip()
    assert "jnf_jax.evaluate" in record["evaluation_command"]
    assert record["evaluation_hardware"] == record["hardware"]
    for field in ("command", "commit", "coherence"):
        assert record[field] == json.loads(json.dumps(before[field]))


def test_workdir_without_a_run(tmp_path):
    with pytest.raises(ValueError, match="has no config.json"):
        programs.config_of(tmp_path)


def test_faults_of_dotted_flags_are_told_and_leave_nothing_behind(tmp_path, entry):
    dotted = ["--config.joint.chekpoint_every=3", "--config.joint.num_steps", "many"]
    dotted.append("--config.data.seed=-1")
    where = ("--config=digits/jnf", f"--workdir={tmp_path / 'w'}")
    status, err = entry("train", *where, *dotted)
    assert status == 2
    first, *faults = err.splitlines()[-4:]
    assert first == "error: the config has faults:"
    assert [fault.split(",")[0] for fault in faults] == [
        "`data.seed` is -1",
        "`joint.chekpoint_every` is unknown",
        "`joint.num_steps` is 'many' (str)",
    ]
    assert faults[1].endswith(". Did you mean 'checkpoint_every'?")
    assert not [*tmp_path.iterdir()]


def test_the_command_line_is_split_into_flags_and_fields():
    words = ["train", "--config", "a", "--config.x.y=1=2", "-config.z", "--b", "--c"]
    rest, changes = programs._split_changes(words)
    assert rest == ["train", "--config", "a", "--c"]
    assert changes == {"x.y": "1=2", "z": "--b"}
    with pytest.raises(flags.Error, match="`--config.z` has no value"):
        programs._split_changes(["train", "--config.z"])


@pytest.mark.parametrize(
    "program",
    [
        "sample",
        pytest.param("impute", marks=pytest.mark.slow),
        pytest.param("train", marks=pytest.mark.slow),
        pytest.param("evaluate", marks=pytest.mark.slow),
    ],
)
def test_help_says_what_the_program_does(program):
    command = [sys.executable, "-m", f"jnf_jax.{program}", "--helpshort"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"python -m jnf_jax.{program} --" in done.stdout
    assert "--workdir" in done.stdout


def test_recorded_commands_do_not_tell_where_data_lay(monkeypatch):
    options = ["--config", "polymnist/jnf", "--workdir", "runs/a"]
    folders = ["--config.data.backgrounds_dir=/home/me/my pictures"]
    folders += ["--config.data.data_dir", "/data", "--config.model.beta=2"]
    folders += ["--config.data.captions_file=/home/me/captions.tsv"]
    folders += ["--config.evaluation.frechet.inception_file=/home/me/inception.pth"]
    folders[:0] = ["--config.data.path", "/home/me/x.npz"]
    monkeypatch.setattr(sys, "argv", ["train", *options, *folders])
    _, command = programs.command_line().split(" --config ", 1)
    assert command == (
        "polymnist/jnf --workdir runs/a --config.data.path DIR "
        "--config.data.backgrounds_dir=DIR "
        "--config.data.data_dir DIR --config.model.beta=2 "
        "--config.data.captions_file=DIR --config.evaluation.frechet.inception_file=DIR"
    )


@pytest.mark.parametrize("config", ["own/jnf", "own/jnf_shared:cl"])
def test_recorded_commands_do_not_tell_where_own_data_lay(monkeypatch, config):
    for before, after in ((["--config"], " "), ([], "=")):
        given = [*before, f"{'' if before else '--config='}{config}:/home/me/data"]
        monkeypatch.setattr(sys, "argv", ["train", *given])
        assert programs.command_line().endswith(f"--config{after}{config}:DIR")


def test_faults_of_the_user_have_no_traceback(capsys):
    with pytest.raises(SystemExit, match="2"), programs.faults_told():
        check_subset((), ("a", "b"), name="--given")
    told = "error: `--given` is empty, expected one or more of ['a', 'b']\n"
    assert capsys.readouterr().err == told


def test_faults_that_are_not_the_users_keep_their_traceback():
    with pytest.raises(ValueError, match="cannot reshape"), programs.faults_told():
        np.zeros(2).reshape(3)


@pytest.mark.usefixtures("hears_interrupts")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_is_one_line_with_the_command_that_goes_on(
    monkeypatch, capsys, number, code
):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["train", "--config", "a b", "--workdir=w"])
    with pytest.raises(SystemExit) as end, programs.signals_told():
        os.kill(os.getpid(), number)
        time.sleep(1)
    signal.signal(signal.SIGTERM, before)
    assert end.value.code == code
    told = capsys.readouterr().err
    assert told.startswith(f"stopped by {number.name}; to go on: python ")
    assert told.endswith(" --config 'a b' --workdir=w\n") and told.count("\n") == 1


def test_libraries_write_to_a_log_and_python_to_the_terminal(tmp_path):
    script = (
        "import os, sys, pathlib; from absl import logging; "
        "from jnf_jax import programs; logging.use_absl_handler(); "
        f"programs.keep_notices(pathlib.Path({str(tmp_path)!r})); "
        "os.write(2, b'of XLA\\n'); logging.warning('of absl'); "
        "print('told', file=sys.stderr); os.abort()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    told, *crash = done.stderr.splitlines()
    assert told == "told" and crash[0] == "Fatal Python error: Aborted"
    log = (tmp_path / "notices.log").read_text().splitlines()
    assert log[0] == "of XLA" and log[1].endswith("of absl")


def test_a_run_tells_what_it_does_from_its_first_seconds(tmp_path):
    config = tmp_path / "tiny_run.py"
    config.write_text(  # without chains, which take as long to compile as all else
        "import tiny\n\n\ndef get_config():\n"
        "    return tiny.tiny_config(flow__num_blocks=0)\n"
    )
    workdir = tmp_path / "run"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "tests"),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),  # without classifiers of other tests
    }
    environment.pop("JAX_PLATFORMS", None)  # JAX looks for a TPU, and says so
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", "import jax"], check=True)
    import_seconds = time.monotonic() - begin
    begin = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "jnf_jax.train"]
        + ["--config", str(config), "--workdir", str(workdir)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines = [process.stdout.readline()]
        first_seconds = time.monotonic() - begin
        lines += process.stdout.read().splitlines()
    assert process.returncode == 0, "".join(lines)
    # Five seconds on a machine of its own; tests run beside others.
    assert first_seconds < max(5.0, 4 * import_seconds)
    expected = [
        f"workdir {workdir}: loading JAX and the data…",
        "digits: train 1,258, validation 180, test 359 tuples of m0, m1, m2",
        "stage joint: compiling…",
        "stage joint: step 20 of 20, loss ",
        "stage joint: 20 steps in ",
        "stage unimodal: caching",
        "stage unimodal: compiling…",
        "stage unimodal: step 20 of 20, loss ",
        "stage unimodal: 20 steps in ",
        "evaluating…",
        "stage classifiers: ",
        "compiling draws given 1 of 3…",
        "given m0: coherence ",
        "compiling draws given 2 of 3…",
        "given m0, m1: coherence ",
        "digits | jnf | protocol ",
        f"Record: {workdir / 'results.json'}",
        "drawing pictures…",
        f"Pictures in {workdir / 'samples'}: any_to_any.png, given_m0.png, ",
        f"To draw more: python -m jnf_jax.sample --workdir {workdir} --given m0 ",
    ]
    rest = iter(lines)
    for start in expected:
        assert any(line.startswith(start) for line in rest), f"{start!r} in {lines}"
    stray = re.compile(r"[IWEF]\d{4} |WARNING|Unable to|file a bug")
    assert not [line for line in lines if stray.search(line)]
    assert "Unable to initialize backend" in (workdir / "notices.log").read_text()
    assert (workdir / "samples" / "any_to_any.png").exists()
    timed = {line.split(":")[0] for line in lines if " left" in line}
    for stage in timed:  # what is left is told of steps beyond the first
        [line] = [x for x in lines if x.startswith(f"{stage}: step ")]
        assert line.endswith(" left") and " step 1 of" not in line
