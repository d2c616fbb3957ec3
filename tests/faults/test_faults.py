"""Real processes, really killed; every resume must end with the same bits."""

import contextlib
import json
import random
import signal
import time

import pytest
from faults import streamed, two_stages
from forked import Forked

from jnf_jax import checkpoint
from jnf_jax.checkpoint.manifest import DamagedCheckpointError, verify
from jnf_jax.experiments import logs

pytestmark = pytest.mark.slow

NUM_KILLS = 20
NUM_STEPS = 320  # of both stages


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """``start(directory, ...)``: a process that trains there.

    All keep what they compiled in one folder: one that is killed early should not
    compile again.
    """
    compiled = str(tmp_path_factory.mktemp("compiled"))

    def start(directory, *arguments, program=two_stages):
        return Forked(
            program.main, directory, *arguments, jax_compilation_cache_dir=compiled
        )

    return start


def finish(process):
    """The digests of a run that must end well, and what it warned of."""
    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1]), err


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, start):
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
    while process.returncode is None:
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


def test_kill_9_at_any_moment_resumes_bitwise(tmp_path, start, uninterrupted, capsys):
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
        assert process.returncode is None
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


def test_kill_9_of_a_streamed_stage_resumes_bitwise(tmp_path, start, capsys):
    uninterrupted, _ = finish(start(tmp_path / "whole", program=streamed))
    rng = random.Random(0)
    parts = tmp_path / "parts"
    for target in (0, 30, 60, 90, 120):
        process = start(parts, program=streamed)
        assert wait_until(lambda: steps_taken(parts) >= target, process)  # noqa: B023
        time.sleep(rng.uniform(0.0, 0.05))
        assert process.returncode is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    newest, _ = checkpoint.newest_intact(parts / "checkpoints" / "joint")
    position = checkpoint.read_metadata(newest)["position"]
    assert position == {"next_index": checkpoint.read_step(newest)}
    digests, _ = finish(start(parts, program=streamed))
    with capsys.disabled():
        same = "bit-identical" if digests == uninterrupted else "NOT the same"
        print(f"\nSIGKILL at 5 moments of a streamed stage: {same}")
    assert digests == uninterrupted


@pytest.mark.parametrize("damage", ["truncated", "bit flipped"])
def test_damaged_newest_checkpoint(tmp_path, start, uninterrupted, damage):
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


def test_disk_full_while_saving(tmp_path, start, uninterrupted):
    process = start(tmp_path, 40)
    _, err = process.communicate()
    assert process.returncode not in (0, 143)
    assert "could not write the checkpoint of step 48" in err
    folder = tmp_path / "checkpoints" / "joint"
    assert f"the last good one is {folder / '00000040'}" in err
    assert checkpoint.resolve(folder).name == "00000040"
    digests, _ = finish(start(tmp_path))
    assert digests == uninterrupted


def test_sigterm_saves_and_exits_143(tmp_path, start, uninterrupted):
    folder = tmp_path / "checkpoints" / "unimodal"
    process = start(tmp_path)
    assert wait_until(lambda: (folder / "00000008/manifest.json").exists(), process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert not unfinished(tmp_path)
    digests, _ = finish(start(tmp_path))
    assert digests == uninterrupted
