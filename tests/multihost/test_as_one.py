"""Two processes train and evaluate as one does; the commands are ``launch/local.sh``'s.

A file of its own, so that it may run beside ``test_processes.py``.
"""

import json
import sys

import jax
import launched
import numpy as np
import pytest
from launched import CONFIG, LOCAL, outputs, start

from jnf_jax.experiments import logs

pytestmark = pytest.mark.multihost


def test_two_processes_are_as_one(tmp_path):
    """Both stages, classifiers, evaluation: one record, with the same numbers."""
    environment = launched.environment(tmp_path / "compiled")
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
