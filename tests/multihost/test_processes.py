"""Real processes that train together: stopped, killed, resumed.

    python -m pytest -m multihost

Two processes with two virtual CPU devices each, joined by ``launch/local.sh`` or by the
commands that it prints; collectives through gloo.
"""

import shlex
import signal
import socket
import subprocess
import time

import launched
import pytest
from launched import CONFIG, LOCAL, outputs, start

from jnf_jax import checkpoint
from jnf_jax.experiments import logs
from jnf_jax.runtime import processes

pytestmark = pytest.mark.multihost

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
    return launched.environment(tmp_path_factory.mktemp("compiled"))


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
