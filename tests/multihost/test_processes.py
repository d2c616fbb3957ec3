"""Real processes that train together: as one, stopped, killed.

    python -m pytest -m multihost

Two processes with two virtual CPU devices each, joined by ``launch/local.sh`` or by the
commands that it prints; collectives through gloo.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jnf_jax import checkpoint, logs, processes

pytestmark = [pytest.mark.multihost, pytest.mark.usefixtures("quick_compiles")]

ROOT = Path(__file__).parents[2]
CONFIG = "tests/multihost/tiny.py"
LOCAL = [str(ROOT / "launch" / "local.sh"), "--processes", "2", "--cpu", "2"]
LONG = (  # one stage of many steps, to be stopped in
    "--config.stages=joint",
    "--config.joint.num_steps=240",
    "--config.training.evaluate_every=80",
    "--config.training.checkpoint_every=40",
    "--noevaluate",
)
SECONDS_TO_NOTICE = 60


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Classifiers of these tests' own; programs that are compiled once for all."""
    return {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def start(command, environment, **more):
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_pair(workdir, environment):
    """The two processes that ``local.sh`` would start, to be signalled one by one."""
    arguments = ["--config", CONFIG, "--workdir", str(workdir), *LONG]
    printed = subprocess.run(
        [LOCAL[0], "--dry-run", *LOCAL[1:], *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    lines = printed.replace("localhost:12355", f"localhost:{port}").splitlines()
    return [start(shlex.split(line), environment) for line in lines]


def outputs(pair, timeout=600):
    """(exit status, stdout, stderr) of each process."""
    texts = [process.communicate(timeout=timeout) for process in pair]
    return [(p.returncode, *text) for p, text in zip(pair, texts, strict=True)]


def wait_for_step(workdir, step, pair):
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        records = logs.read_records(workdir / "metrics.jsonl")
        if any(r["event"] == "train" and r["step"] >= step for r in records):
            return
        assert all(process.poll() is None for process in pair), outputs(pair)
        time.sleep(0.01)
    raise TimeoutError(f"step {step} was not reached")


def final_id(workdir):
    path = checkpoint.resolve(workdir / "checkpoints" / "joint")
    assert checkpoint.read_step(path) == 240
    return checkpoint.checkpoint_id(path)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, environment):
    """Identity of the parameters of a pair that nobody stopped."""
    workdir = tmp_path_factory.mktemp("whole")
    for status, _, err in outputs(start_pair(workdir, environment)):
        assert status == 0, err
    return final_id(workdir)


def test_two_processes_are_as_one(tmp_path, environment):
    """Both stages, classifiers, evaluation: one record, with the same numbers."""
    arguments = ["--config", CONFIG, "--workdir"]
    one = [sys.executable, "-m", "jnf_jax.train", *arguments, str(tmp_path / "one")]
    runs = {
        "one": start(one, environment, XDG_CACHE_HOME=str(tmp_path / "cache_one")),
        "two": start(
            [*LOCAL, *arguments, str(tmp_path / "two")],
            environment,
            XDG_CACHE_HOME=str(tmp_path / "cache_two"),
        ),
    }
    records, losses = {}, {}
    for name, (status, out, err) in zip(runs, outputs(runs.values()), strict=True):
        assert status == 0, err
        assert out.count("stage joint:") == out.count("Record:") == 1
        records[name] = json.loads((tmp_path / name / "results.json").read_text())
        found = logs.read_records(tmp_path / name / "metrics.jsonl")
        losses[name] = [r["loss"] for r in found if "loss" in r]
        assert len({(r["event"], r["stage"], r["step"]) for r in found}) == len(found)
        assert (tmp_path / name / "samples" / "unconditional.png").exists()
    np.testing.assert_allclose(losses["one"], losses["two"], rtol=1e-5)
    one, two = records.values()
    for m, value in one["unimodal_log_prob"].items():
        np.testing.assert_allclose(value, two["unimodal_log_prob"][m], rtol=1e-5)
    # Shares of 40 tuples: a change of 1e-6 in a mean may flip one label.
    for field in ("classifiers", "coherence"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=0.051, rtol=0.05),
            one[field],
            two[field],
        )


def test_sigterm_to_the_script_reaches_all(tmp_path, environment):
    arguments = ["--config", CONFIG, "--workdir", str(tmp_path), *LONG]
    script = start([*LOCAL, *arguments], environment)
    wait_for_step(tmp_path, 50, [script])
    script.send_signal(signal.SIGTERM)
    ((status, _, err),) = outputs([script], timeout=60)
    assert status == 143, err
    path, damaged = checkpoint.newest_intact(tmp_path / "checkpoints" / "joint")
    assert not damaged and 50 <= checkpoint.read_step(path) < 240


def test_sigterm_to_one_stops_both_after_the_same_step(
    tmp_path, environment, uninterrupted
):
    pair = start_pair(tmp_path, environment)
    wait_for_step(tmp_path, 50, pair)
    pair[1].send_signal(signal.SIGTERM)
    ended = outputs(pair, timeout=60)
    assert [status for status, _, _ in ended] == [143, 143], ended
    path, damaged = checkpoint.newest_intact(tmp_path / "checkpoints" / "joint")
    assert not damaged and 50 <= checkpoint.read_step(path) < 240
    for status, _, err in outputs(start_pair(tmp_path, environment)):
        assert status == 0, err
    assert final_id(tmp_path) == uninterrupted


@pytest.mark.parametrize("killed", [0, 1])
def test_when_one_is_killed_the_other_stops_and_the_pair_resumes(
    tmp_path, environment, uninterrupted, killed, capsys
):
    pair = start_pair(tmp_path, environment)
    wait_for_step(tmp_path, 90, pair)
    pair[killed].kill()
    begin = time.monotonic()
    _, err = pair[1 - killed].communicate(timeout=SECONDS_TO_NOTICE)
    seconds = time.monotonic() - begin
    assert pair[1 - killed].returncode not in (0, 143)
    assert processes.LOST_PROCESS in err or "another task died" in err, err
    pair[killed].communicate()
    for status, _, err in outputs(start_pair(tmp_path, environment)):
        assert status == 0, err
    same = final_id(tmp_path) == uninterrupted
    with capsys.disabled():
        print(
            f"\nSIGKILL of process {killed} of 2: the other stopped after {seconds:.1f}"
            f" s, the pair resumed {'bit-identical' if same else 'NOT the same'}"
        )
    assert same
