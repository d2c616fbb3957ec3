"""metrics.jsonl survives kills and resumes; config.json says what ran."""

import importlib.machinery
import io
import json
import subprocess
import sys
import types

import numpy as np
import pytest

from jnf_jax.experiments import logs
from jnf_jax.training import progress


def train_record(stage, step, **values):
    return {"event": "train", "stage": stage, "step": step, **values}


def test_resuming_drops_the_lines_that_will_come_again(tmp_path):
    log = logs.MetricsLog(tmp_path)
    log({"event": "start", "stage": "joint", "step": 0})
    for step in (50, 100, 150):
        log(train_record("joint", step, loss=1.0 / step))
    log(train_record("unimodal", 150, loss=2.0))
    logs.MetricsLog(tmp_path)({"event": "start", "stage": "joint", "step": 100})
    records = logs.read_records(tmp_path / "metrics.jsonl")
    assert [(r["event"], r["stage"], r["step"]) for r in records] == [
        ("start", "joint", 0),
        ("train", "joint", 50),
        ("train", "joint", 100),
        ("train", "unimodal", 150),
        ("start", "joint", 100),
    ]


def test_a_warning_is_told_once_a_stage(tmp_path, recwarn):
    log = logs.MetricsLog(tmp_path)
    log(train_record("prior", 50, loss=0.5))
    log(train_record("prior", 100, loss=0.5, warning="its chains diverge"))
    log(train_record("prior", 150, loss=0.5, warning="all of them"))
    (told,) = recwarn.list
    assert str(told.message) == "stage 'prior', step 100: its chains diverge"


def test_the_first_bad_step_of_a_window_is_the_smallest_not_a_mean_with_zeros():
    """The window's steps come one by one or several a call."""
    window = progress.MetricsWindow(0)
    for steps in (0.0, np.array([0.0, 7.0, 0.0]), 3.0, 0.0):
        window.add({"loss": steps, "langevin/first_bad_step": steps})
    found = window.summary(6, batch_size=4)
    assert found["langevin/first_bad_step"] == 3
    assert found["loss"] == pytest.approx(10 / 6)
    window = progress.MetricsWindow(6)
    window.add({"langevin/first_bad_step": np.zeros(5)})
    assert window.summary(11, batch_size=4)["langevin/first_bad_step"] == 0


def test_a_line_cut_short_is_dropped_but_only_at_the_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = json.dumps(train_record("joint", 50))
    path.write_text(whole + '\n{"event": "tr')
    assert len(logs.read_records(path)) == 1
    logs.MetricsLog(tmp_path)({"event": "start", "stage": "joint", "step": 50})
    assert len(logs.read_records(path)) == 2
    path.write_text('{"event": "tr\n' + whole + "\n")
    with pytest.raises(ValueError, match="line 1 is not JSON"):
        logs.read_records(path)


def test_what_is_not_a_number_becomes_text(tmp_path):
    log = logs.MetricsLog(tmp_path)
    log(train_record("joint", 1, loss=float("nan"), bound=float("-inf")))
    [record] = logs.read_records(tmp_path / "metrics.jsonl")
    assert record["loss"] == "nan" and record["bound"] == "-inf"


def test_config_holds_the_run(tmp_path):
    path = logs.write_config(tmp_path / "new", {"seed": 3}, "file.py", "command")
    body = json.loads(path.read_text())
    assert body["config"] == {"seed": 3}
    assert body["versions"]["jax"] and body["versions"]["optax"]
    assert body["python"].startswith(f"{sys.version_info.major}.")
    assert body["hardware"] and body["devices"]
    assert body["commit"] is None or len(body["commit"]) == 40


def test_commit_is_that_of_the_checkout_and_notices_changes(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    (tmp_path / "__init__.py").write_text("")
    monkeypatch.setattr(logs, "__file__", str(tmp_path / "logs.py"))
    git("init", "-q")
    assert logs.describe_run()["commit"] is None  # an untracked copy is not ours
    git("add", "__init__.py")
    git("commit", "-q", "-m", "first")
    described = logs.describe_run()
    assert len(described["commit"]) == 40 and described["dirty"] is False
    (tmp_path / "__init__.py").write_text("changed = True\n")
    assert logs.describe_run()["dirty"] is True


def test_scalars_go_to_tensorboard_when_it_is_installed(tmp_path, monkeypatch):
    calls = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            calls.append((folder, purge_step))

        def add_scalar(self, *arguments):
            calls.append(arguments)

        def flush(self):
            pass

    fake = types.ModuleType("tensorboardX")
    fake.__spec__ = importlib.machinery.ModuleSpec("tensorboardX", loader=None)
    fake.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "tensorboardX", fake)
    log = logs.MetricsLog(tmp_path / "run")
    log({"event": "start", "stage": "joint", "step": 40})
    log(train_record("joint", 50, loss=2.0, note="text"))
    log({"event": "validation", "stage": "joint", "step": 50, "loss": 3.0})
    assert calls == [
        (str(tmp_path / "run" / "tensorboard" / "joint"), 40),
        ("train/loss", 2.0, 50),
        ("validation/loss", 3.0, 50),
    ]


def test_scalars_go_to_a_wandb_project_that_is_named(tmp_path, monkeypatch):
    started, logged = [], []
    fake = types.ModuleType("wandb")
    fake.__spec__ = importlib.machinery.ModuleSpec("wandb", loader=None)
    fake.log = logged.append
    fake.init = lambda **options: started.append(options) or fake
    monkeypatch.setitem(sys.modules, "wandb", fake)
    log = logs.MetricsLog(tmp_path / "run", wandb_project="views")
    log(train_record("joint", 50, loss=2.0))
    assert started[0]["project"] == "views" and started[0]["name"] == str(
        tmp_path / "run"
    )
    assert logged[0]["joint/loss"] == 2.0 and logged[0]["joint/step"] == 50


def test_a_wandb_project_without_wandb_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(logs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="'views'.*wandb is not installed"):
        logs.MetricsLog(tmp_path, wandb_project="views")


def test_progress_is_plain_lines_away_from_a_terminal(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    clock = progress.Clock()
    line = progress.Progress("joint", total=1000, start=0, clock=clock)
    now[0] += 60.0  # compilation, which says nothing of the steps
    for step in range(10, 1001, 10):  # a step every 50 ms: 50 s in all
        line.update(step, loss=12.5, batch_size=64)
        now[0] += 0.5
        if step == 200:
            with clock.paused():
                now[0] += 30.0  # validation, which does not either
    line.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "stage joint: compiling…"
    assert lines[1] == (
        "stage joint: step 210 of 1,000, loss 12.5, 1,280 samples/s, 0:40 left"
    )
    assert len(lines) == 6 and all(", 1,280 samples/s, " in line for line in lines[1:])
    assert lines[-1].startswith("stage joint: step 1,000 of 1,000, ")


def test_progress_is_a_bar_in_a_terminal_and_in_a_notebook(monkeypatch):
    for is_terminal, is_notebook in ((True, False), (False, True)):
        stream = io.StringIO()
        stream.isatty = lambda is_terminal=is_terminal: is_terminal
        monkeypatch.setattr(sys, "stderr", stream)
        if is_notebook:  # where tqdm.auto chooses a class of its own
            own = type("notebook_tqdm", (progress.asyncio.tqdm,), {})
            monkeypatch.setattr(progress.auto, "tqdm", own)
        bar = progress.Progress("joint", total=2, start=0)
        bar.update(1, loss=2.5, batch_size=64)
        bar.update(2, loss=1.5, batch_size=64)
        bar.close()
        shown = stream.getvalue().split("\r")
        assert any("stage joint" in text and "compiling…" in text for text in shown)
        assert "2/2" in shown[-1] and "loss 1.5" in shown[-1]


def test_a_stage_of_one_call_is_never_timed(capsys):
    line = progress.Progress("joint", total=2, start=0)
    line.update(2, loss=1.0, batch_size=64)
    assert capsys.readouterr().err.splitlines() == [
        "stage joint: compiling…",
        "stage joint: step 2 of 2, loss 1",
    ]


def test_what_is_not_shown_writes_nothing(capsys):
    line = progress.Progress("joint", total=2, start=0, is_shown=False)
    line.update(2, loss=1.0, batch_size=64)
    line.close()
    assert capsys.readouterr() == ("", "")


def test_time_left():
    text = progress.describe_progress(3.14159265, 12.0, 3 * 3600 + 62.0)
    assert text == "loss 3.1416, 12 samples/s, 3:01:02 left"


def test_a_run_of_then_is_recorded_with_the_name_that_its_config_has_now(tmp_path):
    logs.write_config(tmp_path, {}, "configs/digits/jnf_gmm_after.py", "python …")
    assert logs.provenance(tmp_path)["config"] == "digits/jnf_after:gmm"
