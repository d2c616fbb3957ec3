"""One owner a workdir: two runs in one would destroy each other's checkpoints.

Who works there says so in ``owner.json`` and touches it twice a minute. Whoever comes
next is refused while the owner lives, and takes over where it does not:

- on the same machine it lives while a process of its number and start time does;
- elsewhere while it touched the file within five minutes, by the file system's clock,
  unless it was the same job of a scheduler, which that has started again.

Of the processes of one run the first alone asks. The file system need only create a
file for one of two that try: no lock of its own (flock) is used.
"""

import contextlib
import datetime
import json
import os
import platform
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jnf_jax.runtime import processes
from jnf_jax.runtime.files import write_whole

FILE = "owner.json"
BEAT_SECONDS, LOST_SECONDS = 30.0, 300.0
_SETTLED_SECONDS = 1.0
"""How long one who takes over waits for another who does so at the same moment."""

_JOBS = ("JNF_JAX_JOB", "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")
"""Variables that hold the id of a scheduler's job; the first that is set counts."""


class InUseError(OSError):
    """Another run works in the workdir."""


class Owner(NamedTuple):
    """What the file says. ``key`` is another every time; ``since`` is in UTC.

    Process numbers and start times mean the same where ``machine`` is the same; of
    ``job`` "" nothing is known.
    """

    key: str
    pid: int
    started: str
    host: str
    machine: str
    job: str
    since: str


class System(NamedTuple):
    """What is asked of the machine; tests have machines of their own.

    Attributes:
      started_of: start time of a process by its number, None where it has ended.
      now: the time on the clock of the file system that a folder is on, in seconds.
      touch: sets a file's time to it.
    """

    pid: int
    host: str
    machine: str
    job: str
    started_of: Callable[[int], str | None]
    now: Callable[[Path], float]
    touch: Callable[[Path], None] = os.utime
    sleep: Callable[[float], None] = time.sleep


def this_system() -> System:
    """The machine that this process runs on."""
    jobs = [f"{name}={os.environ[name]}" for name in _JOBS if os.environ.get(name)]
    return System(
        pid=os.getpid(),
        host=platform.node(),
        machine=_machine(),
        job=jobs[0] if jobs else "",
        started_of=_started_of,
        now=_file_time,
    )


@contextlib.contextmanager
def owned(workdir: Path, system: System | None = None) -> Iterator[Callable[[], None]]:
    """Owns ``workdir``, which is made, and removed again if nothing came into it.

    Given is a function to call now and then: it raises once another has taken over,
    which happens only to one who was silent for minutes.

    Raises:
      InUseError: another run works there; says which process, where and since when.
    """
    check, stack = lambda: None, contextlib.ExitStack()
    with stack:

        def enter() -> None:
            nonlocal check
            check = stack.enter_context(_held(Path(workdir), system or this_system()))

        processes.on_first(enter)
        yield check


@contextlib.contextmanager
def _held(workdir: Path, system: System) -> Iterator[Callable[[], None]]:
    made = [place for place in (workdir, *workdir.parents) if not place.exists()]
    workdir.mkdir(parents=True, exist_ok=True)
    path, ended = workdir / FILE, threading.Event()
    mine = _take(path, system)

    def check() -> None:
        owner = _read(path)
        if owner not in (None, mine):
            raise InUseError(f"`workdir` {workdir} was taken over by {_told(owner)}")

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):  # the next time, then
                if _read(path) == mine:
                    system.touch(path)

    thread = threading.Thread(target=beat, name="owner", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        ended.set()
        thread.join()
        if _read(path) == mine:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something came into it
            for place in made:
                place.rmdir()


def _take(path: Path, system: System) -> Owner:
    """Becomes the owner, or raises InUseError."""
    mine = Owner(
        key=uuid.uuid4().hex,
        pid=system.pid,
        started=system.started_of(system.pid) or "",
        host=system.host,
        machine=system.machine,
        job=system.job,
        since=datetime.datetime.now(datetime.UTC).isoformat(" ", "seconds"),
    )
    text = json.dumps(mine._asdict(), indent=1) + "\n"
    with contextlib.suppress(FileExistsError):
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
        system.touch(path)
        return mine
    before = _read(path)
    if before is not None:
        if _lives(before, path, system):
            raise _in_use(path, before)
        processes.say(f"{path.parent} is taken over from {_told(before)}: it is gone")
    write_whole(path, text)
    system.touch(path)
    system.sleep(_SETTLED_SECONDS)
    owner = _read(path)  # of two that take over, the last to write
    if owner != mine:
        raise _in_use(path, owner or mine)
    return mine


def _lives(owner: Owner, path: Path, system: System) -> bool:
    if owner.machine == system.machine:
        return system.started_of(owner.pid) == owner.started
    if owner.job and owner.job == system.job:
        return False
    return system.now(path.parent) - path.stat().st_mtime < LOST_SECONDS


def _read(path: Path) -> Owner | None:
    """What the file says; None where there is none. It may be half written."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Owner("", 0, "", "an unknown host", "", "", "an unknown time")


def _told(owner: Owner) -> str:
    job = f" ({owner.job})" if owner.job else ""
    return f"process {owner.pid} on {owner.host}{job}, there since {owner.since}"


def _in_use(path: Path, owner: Owner) -> InUseError:
    return InUseError(
        f"`workdir` {path.parent} is in use by {_told(owner)}: wait for it, end it, or "
        "use another workdir. On another machine it counts as gone once it has not "
        f"touched {FILE} for {LOST_SECONDS:.0f} s"
    )


def _machine() -> str:
    """One text where process numbers mean the same: a boot, a container."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), "/proc/self/ns/pid"
    if boot.exists() and os.path.exists(space):
        return f"{platform.node()} {boot.read_text().strip()} {os.readlink(space)}"
    return platform.node()


def _started_of(pid: int) -> str | None:
    if os.path.exists("/proc/self/stat"):
        try:
            told = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        # The name of the program, in brackets, may hold anything.
        state, *rest = told.rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]
    asked = ["ps", "-p", str(pid), "-o", "lstart="]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or None


def _file_time(folder: Path) -> float:
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        return os.stat(file.name).st_mtime
