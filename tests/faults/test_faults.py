"""Real processes, really killed; every resume must end with the same bits."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jnf_jax import checkpoint
from jnf_jax.checkpoint.manifest import DamagedCheckpointError, verify
from jnf_jax.experiments import logs

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("two_stages.py")
STREAMED = Path(__file__).with_name("streamed.py")
NUM_KILLS = 20
NUM_STEPS = 320  # of both stages
COMPILED = {}  # filled below: a process that is killed early should not compile again


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """Where the processes of these tests keep what they compiled."""
    COMPILED["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path_factory.mktemp("compiled"))
    COMPILED["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


def start(directory, *arguments, program=PROGRAM):
    return subprocess.Popen(
        [sys.executable, str(program), str(directory), *arguments],
        env={**os.environ, "JAX_PLATFORMS": "cpu", **COMPILED},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """The digests of a run that must end well, and what it warned of."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1]), err


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Digests of the final parameters of both stages."""
    digests, _ = finish(start(tmp_path_factory.mktemp("whole")))
    assert digests["joint"] == digests["joint afterwards"]
    return digests


def unfinished(directory):
    """Inodes of the checkpoints that are being written, or that a kill left so."""
    found = set()
    for stage in ("joint", "unimodal"):
        folder = directory / "checkpoints" / stage
        for path in folder.iterdir() if folder.is_dir() else ():
            if not (path / "manifest.json").exists():
                with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
                    found.add(path.stat().st_ino)
    return found


def wait_until(condition, process):
    """Polls until ``condition()``; False when the process ended before."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.0005)
    return False


def steps_taken(directory):
    """Over both stages, as far as the log tells."""
    furthest = {}
    for record in logs.read_records(directory / "metrics.jsonl"):
        furthest[record["stage"]] = record["step"]
    return sum(furthest.values())


def test_kill_9_at_any_moment_resumes_bitwise(tmp_path, uninterrupted, capsys):
    rng = random.Random(0)
    during_write = 0
    for number in range(NUM_KILLS):
        target = number * (NUM_STEPS - 40) // NUM_KILLS  # it must not end before
        left = unfinished(tmp_path)  # by the kill before
        process = start(tmp_path)
        assert wait_until(lambda: steps_taken(tmp_path) >= target, process)  # noqa: B023
        if number % 2:
            # Half of them are aimed at a checkpoint that is being written.
            assert wait_until(lambda: unfinished(tmp_path) - left, process)  # noqa: B023
        time.sleep(rng.uniform(0.0, 0.02 if number % 2 else 0.2))
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        during_write += bool(unfinished(tmp_path) - left)
    digests, _ = finish(start(tmp_path))
    records = logs.read_records(tmp_path / "metrics.jsonl")
    steps = [record["step"] for record in records if record["event"] == "train"]
    with capsys.disabled():
        print(
            f"\nSIGKILL at {NUM_KILLS} moments of two stages, {during_write} of them "
            "while a checkpoint was being written: "
            f"{'bit-identical' if digests == uninterrupted else 'NOT the same'}"
        )
    assert digests == uninterrupted
    assert during_write >= 1
    assert steps == 2 * list(range(4, NUM_STEPS // 2 + 1, 4))  # none lost, none twice


def test_kill_9_of_a_streamed_stage_resumes_bitwise(tmp_path, capsys):
    uninterrupted, _ = finish(start(tmp_path / "whole", program=STREAMED))
    rng = random.Random(0)
    parts = tmp_path / "parts"
    for target in (0, 30, 60, 90, 120):
        process = start(parts, program=STREAMED)
        assert wait_until(lambda: steps_taken(parts) >= target, process)  # noqa: B023
        time.sleep(rng.uniform(0.0, 0.05))
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    newest, _ = checkpoint.newest_intact(parts / "checkpoints" / "joint")
    position = checkpoint.read_metadata(newest)["position"]
    assert position == {"next_index": checkpoint.read_step(newest)}
    digests, _ = finish(start(parts, program=STREAMED))
    with capsys.disabled():
        same = "bit-identical" if digests == uninterrupted else "NOT the same"
        print(f"\nSIGKILL at 5 moments of a streamed stage: {same}")
    assert digests == uninterrupted


@pytest.mark.parametrize("damage", ["truncated", "bit flipped"])
def test_damaged_newest_checkpoint(tmp_path, uninterrupted, damage):
    folder = tmp_path / "checkpoints" / "joint"
    process = start(tmp_path)
    assert wait_until(lambda: (folder / "00000032/manifest.json").exists(), process)
    process.kill()
    process.communicate()
    newest, _ = checkpoint.newest_intact(folder)
    victim = max(
        (file for file in newest.rglob("*") if file.is_file()),
        key=lambda file: file.stat().st_size,
    )
    content = bytearray(victim.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 3] ^= 0b1000
    victim.write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match=victim.name):
        verify(newest)
    digests, warned = finish(start(tmp_path))
    assert f"damaged checkpoint {newest}" in warned and "resuming from" in warned
    assert digests == uninterrupted


def test_disk_full_while_saving(tmp_path, uninterrupted):
    process = start(tmp_path, "--limit-after", "40")
    _, err = process.communicate(timeout=300)
    assert process.returncode not in (0, 143)
    assert "could not write the checkpoint of step 48" in err
    folder = tmp_path / "checkpoints" / "joint"
    assert f"the last good one is {folder / '00000040'}" in err
    assert checkpoint.resolve(folder).name == "00000040"
    digests, _ = finish(start(tmp_path))
    assert digests == uninterrupted


def test_sigterm_saves_and_exits_143(tmp_path, uninterrupted):
    folder = tmp_path / "checkpoints" / "unimodal"
    process = start(tmp_path)
    assert wait_until(lambda: (folder / "00000008/manifest.json").exists(), process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert not unfinished(tmp_path)
    digests, _ = finish(start(tmp_path))
    assert digests == uninterrupted
