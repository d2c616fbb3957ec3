"""A workdir has one owner; who is gone does not hold others up."""

import os
import subprocess
import sys
import time

import pytest
from tiny import tiny_config

from jnf_jax.checkpoint import owner
from jnf_jax.checkpoint.owner import InUseError, System, owned
from jnf_jax.experiments.run import train_and_evaluate
from jnf_jax.runtime import processes


class World:
    """Machines that share a file system and its clock; processes by (machine, pid)."""

    def __init__(self):
        self.time, self.living = 1e9, {}

    def system(self, machine="a", pid=1, started="10", job="", sleep=lambda s: None):
        self.living[machine, pid] = started
        return System(
            pid=pid,
            host=machine,
            machine=machine,
            job=job,
            started_of=lambda other: self.living.get((machine, other)),
            now=lambda folder: self.time,
            touch=lambda path: os.utime(path, (self.time, self.time)),
            sleep=sleep,
        )

    def leave_owner(self, workdir, **of):
        """An owner that was killed: its file is there, its process is not."""
        system = self.system(**of)
        workdir.mkdir(exist_ok=True)
        found = owner._take(workdir / owner.FILE, system)
        del self.living[system.machine, system.pid]
        return found


def is_taken(workdir, system):
    try:
        with owned(workdir, system):
            return True
    except InUseError:
        return False


def test_the_second_is_told_who_is_there_and_the_next_finds_it_free(tmp_path):
    world, workdir = World(), tmp_path / "run"
    with owned(workdir, world.system(pid=12, job="SLURM_JOB_ID=7")):
        with pytest.raises(InUseError) as refused:
            with owned(workdir, world.system(pid=13)):
                pass
        told = str(refused.value)
        assert f"`workdir` {workdir} is in use by process 12 on a (SLURM_JOB_ID" in told
        assert f"there since {owner._read(workdir / owner.FILE).since}" in told
        (workdir / "result").touch()
    assert [path.name for path in workdir.iterdir()] == ["result"]
    assert is_taken(workdir, world.system(pid=13))


@pytest.mark.parametrize("folder", ["run", "new/runs/run"])
def test_a_refused_run_leaves_no_folder_behind(tmp_path, folder):
    with pytest.raises(ValueError), owned(tmp_path / folder, World().system()):
        raise ValueError("a fault of the config")
    assert not [*tmp_path.iterdir()]


def test_on_the_same_machine_the_process_decides(tmp_path):
    world = World()
    world.leave_owner(tmp_path, pid=12, started="10")
    world.time += 1
    assert is_taken(tmp_path, world.system(pid=13))  # at once
    world.leave_owner(tmp_path, pid=12, started="10")
    assert is_taken(tmp_path, world.system(pid=12, started="99"))  # its number again
    left = world.leave_owner(tmp_path, pid=12, started="10")
    world.living["a", 12] = left.started
    world.time += 1e6  # a process that was stopped for days, and lives
    assert not is_taken(tmp_path, world.system(pid=13))


def test_elsewhere_the_heartbeat_decides(tmp_path, monkeypatch):
    world = World()
    monkeypatch.setattr(owner, "BEAT_SECONDS", 0.001)
    with owned(tmp_path, world.system("a")):
        for _ in range(3):
            world.time += 299
            until = time.monotonic() + 10
            while (tmp_path / owner.FILE).stat().st_mtime < world.time:
                assert time.monotonic() < until, "it does not beat"
            assert not is_taken(tmp_path, world.system("b"))
    world.leave_owner(tmp_path, machine="a")
    world.time += 299
    assert not is_taken(tmp_path, world.system("b"))
    world.time += 1
    assert is_taken(tmp_path, world.system("b"))


def test_a_job_that_is_started_again_takes_over_at_once(tmp_path):
    world = World()
    world.leave_owner(tmp_path, machine="a", job="SLURM_JOB_ID=7")
    assert not is_taken(tmp_path, world.system("b", job="SLURM_JOB_ID=8"))
    assert not is_taken(tmp_path, world.system("b"))
    assert is_taken(tmp_path, world.system("b", job="SLURM_JOB_ID=7"))
    # On one machine the other process of that job is seen to live.
    with owned(tmp_path, world.system("b", pid=1, job="SLURM_JOB_ID=7")):
        assert not is_taken(tmp_path, world.system("b", pid=2, job="SLURM_JOB_ID=7"))


def test_of_two_that_take_over_one_does(tmp_path):
    world, found = World(), []
    world.leave_owner(tmp_path, pid=1)

    def meanwhile(seconds):
        assert seconds >= 1
        taken = owner._take(tmp_path / owner.FILE, late)
        found.append(taken.pid)

    # The second saw the dead owner too, before the first wrote.
    late = world.system(pid=3)._replace(started_of=lambda pid: None)
    assert not is_taken(tmp_path, world.system(pid=2, sleep=meanwhile))
    assert found == [3] and owner._read(tmp_path / owner.FILE).pid == 3


def test_an_owner_that_was_silent_too_long_is_told(tmp_path):
    world = World()
    with owned(tmp_path, world.system("a")) as check:
        check()
        world.time += 300
        with owned(tmp_path, world.system("b", pid=5)):
            with pytest.raises(InUseError, match="taken over by process 5 on b"):
                check()
        assert not (tmp_path / owner.FILE).exists()
        check()  # nobody else is there


def test_half_a_file_is_an_owner_of_which_nothing_is_known(tmp_path):
    world = World()
    (tmp_path / owner.FILE).write_text('{"key": ')
    os.utime(tmp_path / owner.FILE, (world.time, world.time))
    assert not is_taken(tmp_path, world.system())
    world.time += 300
    assert is_taken(tmp_path, world.system())


def test_the_processes_of_one_run_share_it(tmp_path, monkeypatch):
    world = World()
    with owned(tmp_path, world.system(pid=1)):
        monkeypatch.setattr(processes, "is_first", lambda: False)
        with owned(tmp_path, world.system(pid=2)) as check:
            check()
        assert (tmp_path / owner.FILE).exists()


def test_processes_are_known_by_number_and_start_time():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = owner._started_of(child.pid)
    assert started and started == owner._started_of(child.pid)
    assert int(started) >= int(owner._started_of(os.getpid()))
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert owner._started_of(child.pid) is None
    child.communicate()
    assert owner._started_of(child.pid) is None


def test_a_run_is_refused_before_anything_else(tmp_path):
    with owned(tmp_path):
        with pytest.raises(InUseError, match=f"in use by process {os.getpid()} on"):
            train_and_evaluate(tiny_config(data__name="no data set"), tmp_path)
    assert not [*tmp_path.iterdir()]
