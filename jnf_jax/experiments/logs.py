"""Files that a run leaves to read: metrics.jsonl and config.json."""

import hashlib
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import subprocess
import warnings
from pathlib import Path
from typing import Any

from jnf_jax.experiments import config_files
from jnf_jax.runtime.files import read_json, write_whole

_PACKAGES = (
    *("jnf_jax", "jax", "jaxlib", "numpy", "flax", "optax", "distrax", "blackjax"),
    *("orbax-checkpoint", "tensorflow-datasets"),
)


class MetricsLog:
    """Appends records to ``<workdir>/metrics.jsonl``, one JSON object a line.

    Call it with a flat dictionary. A record with ``event="start"`` first drops the
    lines of its stage beyond its step: a run that is resumed repeats them. Scalars also
    go to TensorBoard when tensorboardX is installed, and to a Weights & Biases project
    when one is named. The text under "warning" is told once a stage.

    ::

        log = MetricsLog(workdir)
        log({"event": "train", "stage": "joint", "step": 50, "loss": 12.5})
    """

    def __init__(self, workdir: Path, *, wandb_project: str | None = None):
        """Creates the directory; nothing is written before the first record.

        Raises:
            ValueError: ``wandb_project`` is given, and wandb is not installed.
        """
        self._workdir = Path(workdir)
        self._workdir.mkdir(parents=True, exist_ok=True)
        self._path = self._workdir / "metrics.jsonl"
        self._boards: dict[str, Any] = {}
        self._warned_of: set[str] = set()
        self._wandb = _start_wandb(self._workdir, wandb_project)

    def __call__(self, record: dict[str, Any]) -> None:
        """Writes one record and flushes it."""
        stage = record.get("stage")
        if record.get("event") == "start" and self._path.exists():
            kept = [
                line
                for line in read_records(self._path)
                if line.get("stage") != stage or line.get("step", 0) <= record["step"]
            ]
            write_whole(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        with self._path.open("a") as stream:
            stream.write(json.dumps(_jsonable(record), allow_nan=False) + "\n")
        self._write_board(record)
        if record.get("warning") and stage not in self._warned_of:
            self._warned_of.add(stage)
            told = f"stage {stage!r}, step {record['step']}: {record['warning']}"
            warnings.warn(told, stacklevel=2)
        if self._wandb is not None and stage:
            self._wandb.log(_jsonable({f"{stage}/{k}": v for k, v in record.items()}))

    def _write_board(self, record: dict[str, Any]) -> None:
        if importlib.util.find_spec("tensorboardX") is None or "stage" not in record:
            return
        import tensorboardX  # optional, hence here

        stage, step, event = record["stage"], record["step"], record.get("event", "log")
        if stage not in self._boards or event == "start":
            folder = str(self._workdir / "tensorboard" / stage)
            self._boards[stage] = tensorboardX.SummaryWriter(folder, purge_step=step)
        for name, value in record.items():
            if isinstance(value, float):
                self._boards[stage].add_scalar(f"{event}/{name}", value, step)
        self._boards[stage].flush()


def _start_wandb(workdir: Path, project: str | None) -> Any:
    """A Weights & Biases run named after the workdir, which a resumed one continues."""
    if project is None:
        return None
    if importlib.util.find_spec("wandb") is None:
        raise ValueError(
            f"`wandb_project` is {project!r}, but wandb is not installed: "
            "pip install 'jnf_jax[wandb]'"
        )
    import wandb  # optional, hence here

    own = hashlib.sha256(str(workdir.absolute()).encode()).hexdigest()[:16]
    place = str(workdir)
    return wandb.init(project=project, id=own, name=place, dir=place, resume="allow")


def _jsonable(record: dict[str, Any]) -> dict[str, Any]:
    """JSON knows neither NaN nor infinity: they become text."""
    return {
        k: str(v) if isinstance(v, float) and not math.isfinite(v) else v
        for k, v in record.items()
    }


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl, but for a last line cut short by a kill.

    The file may be missing.

    Raises:
        ValueError: A line before the last is not JSON.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(
                    f"{path}, line {number} is not JSON: {error}"
                ) from error
    return records


def describe_run() -> dict[str, Any]:
    """Commit, versions and hardware, which a result must quote; JSON-able.

    ``commit`` is None outside a checkout; ``dirty`` is whether tracked files were
    changed.
    """
    import jax  # takes seconds, and whoever reads these files needs none of it

    commit, dirty = _describe_commit()
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "commit": commit,
        "dirty": dirty,
        "versions": versions,
        "python": platform.python_version(),
        "hardware": hardware(),
        "devices": [str(device) for device in jax.devices()],
    }


def provenance(workdir: Path) -> dict[str, Any]:
    """How the parameters in ``workdir`` were made, as records quote its config.json.

    ``commit`` is "unknown" outside a checkout, with "-dirty" after it where tracked
    files were changed; "continued" is there where stages were given more steps later.
    """
    run = read_json(
        Path(workdir) / "config.json",
        config_file=str, command=str, hardware=str, versions=dict,
    )  # fmt: skip
    return {
        "config": config_files.name_of(run["config_file"]),
        "command": run["command"],
        "commit": _commit_of(run),
        "hardware": run["hardware"],
        "versions": run["versions"],
        **({"continued": run["continued"]} if "continued" in run else {}),
    }


def hardware() -> str:
    """Such as "2 cores of Intel(R) Xeon(R) …" or "4 x NVIDIA H200"."""
    import jax  # see `describe_run`

    devices = jax.devices()
    if devices[0].platform != "cpu":
        return f"{len(devices)} x {devices[0].device_kind}"
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"{cores} core{'s' if cores > 1 else ''} of {model}"


def commit() -> str:
    """The commit of the code that runs now, as ``provenance`` tells it."""
    return _commit_of(describe_run())


def _commit_of(run: dict[str, Any]) -> str:
    return (run.get("commit") or "unknown") + ("-dirty" if run.get("dirty") else "")


def write_config(
    workdir: Path,
    config: dict[str, Any],
    config_file: str,
    command: str,
    start: dict[str, Any] | None = None,
) -> Path:
    """Writes ``config.json``: the resolved config beside ``describe_run()``.

    ``config_file`` is where it came from, ``command`` the command line of the run.
    ``start`` is the record of a stage that starts. One that goes on with more steps
    than it had leaves an entry under "continued": where it was, what it was to have,
    and by which command and commit; one that starts anew removes its own.
    """
    path, start = Path(workdir) / "config.json", start or {}
    before = json.loads(path.read_text()) if path.exists() else {}
    continued = before.get("continued", [])
    if "continued" in start:
        how = {"command": before.get("command"), "commit": _commit_of(before)}
        last = {"stage": start["stage"], **start["continued"][-1]}
        # Again where it was stopped before its first checkpoint.
        if not any(last.items() <= entry.items() for entry in continued):
            continued = [*continued, last | how]
    elif start.get("step") == 0:
        continued = [entry for entry in continued if entry["stage"] != start["stage"]]
    run = {"config_file": config_file, "command": command, **describe_run()}
    run |= {"continued": continued} if continued else {}
    text = json.dumps({"config": config, **run}, indent=2)
    return write_whole(path, text + "\n")


def _describe_commit() -> tuple[str | None, bool | None]:
    """Commit of the checkout that this package is part of; whether it is changed."""

    def git(*arguments: str) -> str | None:
        folder = Path(__file__).parent
        options = dict(cwd=folder, capture_output=True, text=True, timeout=20)
        try:
            done = subprocess.run(["git", *arguments], **options)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed copy may lie inside somebody else's repository: is it tracked there?
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    commit = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no")
    return commit, None if changed is None else bool(changed)
