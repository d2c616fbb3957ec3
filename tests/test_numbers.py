"""Every measured number of README and docs is in a record, or said to be by hand.

A number counts as measured where it has a fraction, a per cent sign or a unit. Each
stands in a block (a paragraph, an item of a list, a row of a table) which either names
records that hold it, to the digits that are printed, or says "by hand" with a commit.
Pages that ``tools.results_page`` writes look theirs up.
"""

import json
import re
from pathlib import Path

import pytest

from tools.results_page.front import README_MARKS

ROOT = Path(__file__).parents[1]
PAGES = (
    *("README.md", "CONTRIBUTING.md", "launch/README.md", "docs/guide.md"),
    *("docs/math.md", "docs/speed.md", "docs/extending.md", "docs/results_schema.md"),
    *("docs/index.md", "docs/scaling.md", "docs/diagnostics.md", "docs/glossary.md"),
)
WRITTEN = ("docs/summary.json", "docs/open_questions.json")  # sentences of such pages
UNIT = r"(?:%|[nmµ]?s|min(?:utes)?|hours?|seconds|nats|times|[MG]i?B|GFLOP(?:/s)?)"
NUMBER = re.compile(
    rf"(?<![\w.,/:{{−-])(\d[\d,]*\.\d+|\.\d+|\d[\d,]*(?= ?{UNIT}(?![\w/])))(?!\w|\.\w)"
    rf"(?: ?({UNIT})(?![\w/]))?"
)
NOT_MEASURED = (
    r"`[^`]*`",  # code
    r"(?<=\])\([^)]*\)",  # where links lead
    r"arXiv:? ?\d{4}\.\d{4,5}",
    r"(?i)\b(python|jax|torch|torchvision|multivae|pythae|apache)[ -]\d[\d.]*",
    r"\b[A-Za-zλβετρδκ](?:_\w)? ?(?:=|<|>|≥|≤) ?[\d.,]+",  # a setting
    r"[≥≤] ?[\d.,]+",  # what is wanted
)
CONSTANTS = {
    "launch/README.md": {"30 seconds"},
    "docs/guide.md": {"4 GiB"},
    "docs/scaling.md": {"4 GiB"},
    "docs/diagnostics.md": {"0.1", "0.25", "0.7", "0.8", "1.05", "1000 nats"},
    "docs/results_schema.md": {"95 %", "1 %", "0.25", "1.25 times"},
}
"""Numbers that the code has, not a measurement."""


def blocks(text):
    """Paragraphs, items and rows, without code; items with what heads their list."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    head = ""
    for block in re.split(r"\n\s*\n|\n(?=- |\| )", text):
        if block.startswith("    "):
            continue
        block = " ".join(block.split())
        if not block.startswith(("- ", "![")):
            head = block if block.endswith(":") else ""
        yield block, head + block if block.startswith("- ") else block


def numbers_of(block):
    """(digits, unit) of all that a block says was measured."""
    for pattern in NOT_MEASURED:
        block = re.sub(pattern, " ", block)
    return [(m[1].replace(",", ""), m[2] or "") for m in NUMBER.finditer(block)]


def _values(stored):
    if isinstance(stored, dict | list):
        inner = stored.values() if isinstance(stored, dict) else stored
        return [value for one in inner for value in _values(one)]
    return [float(stored)] if isinstance(stored, int | float) else []


def records_of(block):
    """Numbers of all records that a block links or names."""
    paths = re.findall(r"(?:results|records)/[\w./+-]+\.json", block)
    paths += [f"records/{name}" for name in re.findall(r"`(\w+\.json)`", block)]
    found = [p for path in paths for p in (ROOT / path, ROOT / "benchmarks" / path)]
    if "benchmarks/records)" in block:
        found += (ROOT / "benchmarks" / "records").glob("*.json")
    for name in re.findall(r"results/(\w+)\.md", block):
        anchors = re.findall(rf"results/{name}\.md#(\w+?)(?:-\w+)?\)", block)
        found += [ROOT / "results" / name / f"{anchor}.json" for anchor in anchors]
    return [
        value
        for path in found
        if path.is_file()
        for value in _values(json.loads(path.read_text("utf-8")))
    ]


def assertions_of(block):
    """Texts of the tests that a block names: what can be computed is asserted there."""
    named = re.findall(r"`(tests/[\w/]+\.py)`", block)
    return "".join((ROOT / path).read_text("utf-8") for path in named)


SCALES = {"%": (100,), "ms": (1, 1e3), "min": (1, 1 / 60), "minutes": (1, 1 / 60)}
"""A record has shares and seconds."""


def is_found(digits, unit, values):
    """Whether one of the values, rounded as printed, is the number."""
    half = 0.5001 * 10.0 ** -len(digits.partition(".")[2])
    number = float(digits)
    scales = SCALES.get(unit, (1,))
    return any(abs(scale * v - number) <= half for v in values for scale in scales)


BY_HAND = re.compile(
    r"by hand\b[^.]*?\b(?=[0-9a-f]*\d)[0-9a-f]{7}\b|\b[0-9a-f]{7}, by hand"
)


def unfounded(text):
    """(number, block) of all that a page says without evidence."""
    found = []
    for block, evidence in blocks(text):
        if BY_HAND.search(evidence):
            continue
        values = records_of(evidence)
        for digits, unit in numbers_of(block):
            is_tested = f"{float(digits):g}" in assertions_of(evidence)
            if not (is_tested or is_found(digits, unit, values)):
                found.append((f"{digits} {unit}".strip(), block))
    return found


def text_of(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    if name == "README.md":  # without the table that is written, and tested elsewhere
        begin, end = README_MARKS
        text = text.partition(begin)[0] + text.partition(end)[2]
    return text


@pytest.mark.parametrize("name", PAGES)
def test_every_number_has_its_evidence(name):
    told = [
        f"{number}: {block[:160]}"
        for number, block in unfounded(text_of(name))
        if number not in CONSTANTS.get(name, ())
    ]
    assert not told, "\n".join(told)


@pytest.mark.parametrize("name", WRITTEN)
def test_sentences_of_written_pages_look_their_numbers_up(name):
    """``{record:path}`` does; what is left was published by others."""
    known = _values(json.loads((ROOT / "docs/published.json").read_text("utf-8")))
    text = (ROOT / name).read_text("utf-8")
    sentences = [s for s in re.findall(r'"((?:[^"\\]|\\.)*)"', text) if " " in s]
    told = [
        (digits, sentence)
        for sentence in sentences
        for digits, unit in numbers_of(re.sub(r"\{[^}]*\}", "", sentence))
        if not is_found(digits, unit, known)
    ]
    assert sentences and not told


def test_numbers_without_evidence_are_seen():
    record = "[it](../results/digits/jnf_diffusion_decoder.json)"
    path = ROOT / "results/digits/jnf_diffusion_decoder.json"
    share = json.loads(path.read_text("utf-8"))["coherence"]["ceiling"]
    text = f"""\
It took 3 s and 0.5 of it, `0.7` of the code, as arXiv 1234.5678 has it for β = 0.5.

Of {record} {share:.2f}, {share:.3f} and {100 * share:.0f} %, but 4.321.

Measured by hand at 0123abc: .25, and in two of these 50 %.

By hand, nobody knows when: .25; and these were timed by hand at 0123abc:

- 12 ms of it
- 1.5 times as long

After the list 13 ms.
"""
    found = [number for number, _ in unfounded(text)]
    assert found == ["3 s", "0.5", "4.321", "13 ms"]
