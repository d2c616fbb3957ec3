"""Every section of docs/extending.md runs as it is printed."""

import re
import sys
import types
from pathlib import Path

import pytest
from evaluation.test_protocol import LABELS, LabelModel, subject

from jnf_jax.data import DATASETS
from jnf_jax.evaluation import measures
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.experiments.schema import validate
from jnf_jax.methods import registry

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text("utf-8")
SECTIONS = {
    section.partition("\n")[0]: re.findall(
        r"^```python\n(.*?)^```", section, re.M | re.S
    )
    for section in re.split(r"^## ", PAGE, flags=re.M)[1:]
}


def test_all_four_kinds_are_shown():
    shown = {"A prior", "A measure", "A data set of your own kind", "A method"}
    assert shown <= set(SECTIONS)


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_runs_as_it_is_printed(title, monkeypatch):
    monkeypatch.setattr(registry, "METHODS", dict(registry.METHODS))  # some add to it
    monkeypatch.setitem(measures.MEASURES, "saturation", "")  # undone afterwards
    monkeypatch.setitem(DATASETS, "clocks", None)  # taken away afterwards
    names = {"__name__": "extending"}
    assert SECTIONS[title]
    for block in SECTIONS[title]:
        exec(compile(block, f"docs/extending.md, {title}", "exec"), names)


def test_the_measure_is_run_recorded_and_checked(monkeypatch):
    source, _ = SECTIONS["A measure"]
    module = types.ModuleType("saturation")
    monkeypatch.setitem(sys.modules, "saturation", module)
    monkeypatch.setitem(measures.MEASURES, "saturation", "saturation")
    exec(compile(source, "saturation", "exec"), vars(module))

    of = subject(LabelModel(), ProtocolSettings(batch_size=50, num_diagnostic_data=2))
    of = of._replace(dataset=types.SimpleNamespace(num_classes=4))
    found = measures.run({"saturation": module.Settings(margin=0.1)}, of)
    # Label 0 is shown as 0, labels up to 3 as 1/4 to 3/4; "c" cannot show label 0.
    share = (LABELS == 0).mean()
    assert found["saturation"] == {
        "settings": {"margin": 0.1},
        "share": pytest.approx({"a": share, "b": share, "c": 0.0}),
    }

    def faults():
        return [fault for fault in validate(found) if "saturation" in fault]

    assert not faults()
    found["saturation"]["share"]["a"] = 1.5
    (fault,) = faults()
    assert fault.startswith("`saturation.share.a` is 1.5, expected a finite number in")
