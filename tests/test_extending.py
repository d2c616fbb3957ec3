"""Every section of docs/extending.md runs as it is printed."""

import re
from pathlib import Path

import pytest

from jnf_jax.methods import registry

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text("utf-8")
SECTIONS = {
    section.partition("\n")[0]: re.findall(
        r"^```python\n(.*?)^```", section, re.M | re.S
    )
    for section in re.split(r"^## ", PAGE, flags=re.M)[1:]
}


def test_a_prior_and_a_method_are_shown():
    assert {"A prior", "A method"} <= set(SECTIONS)


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_runs_as_it_is_printed(title, monkeypatch):
    monkeypatch.setattr(registry, "METHODS", dict(registry.METHODS))  # some add to it
    names = {"__name__": "extending"}
    assert SECTIONS[title]
    for block in SECTIONS[title]:
        exec(compile(block, f"docs/extending.md, {title}", "exec"), names)
