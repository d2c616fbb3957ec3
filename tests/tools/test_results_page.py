"""Records: the schema finds every fault, and docs/results.md is what they say."""

import copy
import itertools
import json
import re
from pathlib import Path

import pytest

from jnf_jax.experiments import ablations
from jnf_jax.experiments import records as results
from jnf_jax.experiments.combine import summarise
from jnf_jax.experiments.console import console_table
from jnf_jax.experiments.schema import validate
from tools.results_page import front, published, render, tables

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "results_schema.md"


@pytest.fixture
def record():
    """The example of docs/results_schema.md."""
    text = SCHEMA.read_text(encoding="utf-8")
    return json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])


def _set(record, path, value):
    *parents, last = path.split(".")
    for key in parents:
        record = record[key]
    record[last] = value


def test_the_documented_example_is_valid(record):
    assert validate(record) == []


def test_every_required_key_is_documented_and_required(record):
    table = SCHEMA.read_text(encoding="utf-8").split("## Known optional")[0]
    documented = set(re.findall(r"^\| `(\w+)", table, re.MULTILINE))
    assert documented == set(record)
    for key in record:
        short = {k: v for k, v in record.items() if k != key}
        assert any(f"`{key}` is missing" in f for f in validate(short))


def test_the_table_of_sizes_has_means_over_subsets(record):
    assert tables.size_table({"run": record}) == []
    twice = {"mean": 3.0, "sd": 0.1, "n": 2}
    record["subset_log_prob"] = {"": -9.0, "a": -5.0, "b": twice, "a+b": 4.5}
    record["draws_per_second"] = {"a": 100.0, "b": 300.0, "a+b": 50.0}
    record["training_seconds"] = 212.0
    tv = {"tv": {"c": 0.25, "b": 0.75}, "floor": {}}
    nothing = {"tv": {"a": 0.9}}
    record["label_distribution"] = {
        "given": {"a": tv, "nothing, z from normal": nothing}
    }
    assert validate(record) == []
    *_, none, one, two = tables.size_table({"run": record})
    assert none.endswith("| 0 | – | -9.00 | – | – | 212 s |")
    assert one.endswith("| 1 | 0.500 ± 0.020 | -1.00 | 0.500 | 200 | 212 s |")
    assert two.endswith("| 2 | 0.750 | 4.50 | – | 50 | 212 s |")


def test_paired_differences_have_a_table(record):
    """Between sizes and between runs; several seeds have the spread of theirs."""
    assert tables.paired_table({"run": record}) == []
    own = record["coherence"]
    own["gain"] = {"2": {"difference": 0.0312, "standard_error": 0.004}}
    alone = {"difference": -0.5, "standard_error": None}
    twice = {"mean": -0.25, "sd": 0.125, "n": 2}
    seeds = {"difference": twice, "standard_error": twice}
    own["against"] = {"product": {"1": alone}, "seeds": {"1": seeds}}
    *_, head, _, gain, product, of_seeds = table = tables.paired_table({"run": record})
    assert "\n".join(table) in "\n".join(tables.beside({"run": record}))
    assert head == "| config | less that of | given 1 | given 2 |"
    assert gain.endswith("| one view fewer | – | +0.031 ± 0.004 |")
    assert product.endswith("| product | -0.500 | – |")
    assert of_seeds.endswith("| seeds | -0.250 ± 0.125 | – |")


def test_the_table_of_refinement_shows_the_worst_chains_of_a_size(record):
    record["refinement"] = refinement()
    assert validate(record) == []
    *_, one, two = tables.refinement_table({"run": record})
    assert one.endswith("| 0.500 ± 0.020 | 0.625 | 4.25 |")
    assert two.endswith("| 0.875 | 0.750 | undefined |")


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("dataset", "", "`dataset` is '', expected a string"),
        ("commit", "main", "`commit` is 'main', expected 7 to 40 hex digits"),
        ("seeds", [], r"`seeds` is \[\], expected a list of different integers"),
        ("seeds", [0, 0], "different integers"),
        ("seeds", [True], "different integers"),
        ("wall_seconds", -1.0, "`wall_seconds` is -1.0, expected a finite number >= 0"),
        ("coherence.ceiling", 83.0, r"`coherence.ceiling` is 83.0, .* in \[0, 1\]"),
        ("coherence.joint.normal", float("nan"), "`coherence.joint.normal` is nan"),
        ("coherence.joint.normal", True, "`coherence.joint.normal` is True"),
        ("coherence.conditional", {"one": 0.5}, "has the key 'one', expected a subset"),
        ("coherence.conditional", {"0": 0.5}, "has the key '0'"),
        ("coherence.conditional", [0.5], "expected an object"),
        ("coherence.conditional.1", {"mean": 0.5, "sd": 0.1}, "expected mean, sd, n"),
        ("coherence.joint_entropy", {"mean": 0.5, "std": 0.1, "n": 2}, "mean, sd, n"),
        ("coherence.conditional.1", {"mean": 0.5, "sd": -1, "n": 2}, "1.sd` is -1"),
        ("coherence.conditional.1", {"mean": 0.5, "sd": 0, "n": 1}, "1.n` is 1"),
        ("coherence.conditional.1", {"mean": 2.0, "sd": 0, "n": 2}, "1.mean` is 2.0"),
        ("coherence.joint", {"normal": 0.1, "gmm": 0.5}, "one value, expected one for"),
        ("coherence.joint_entropy", {"gmm": 2.0}, r"has keys \['gmm'\], expected"),
        (
            "coherence.joint_by_steps",
            {"normal": 0.5},
            "normal` is 0.5, expected an obj",
        ),
        (
            "coherence.joint_by_steps",
            {"normal": {"10": 2.0}},
            r"10` is 2.0, .* \[0, 1\]",
        ),
        (
            "coherence.joint_by_steps",
            {"normal": {"ten": 1.0}},
            "the key 'ten', expected",
        ),
        ("coherence.interval", 0.5, "`coherence.interval` is 0.5, expected an object"),
        ("coherence.interval", {"joint": 1}, "`coherence.interval.joint` is 1"),
        (
            "coherence.interval",
            {"conditional": {"1": {"low": -0.1, "high": 0.5}}},
            r"interval.conditional.1.low` is -0.1, .* \[0, 1\]",
        ),
        ("coherence.interval", {"subsets": 1}, "`coherence.interval.subsets` is 1"),
        (
            "coherence.interval",
            {"subsets": {"a": {"b": {"low": 0.1, "high": 1.5}}}},
            r"interval.subsets.a.b.high` is 1.5, .* \[0, 1\]",
        ),
        (
            "coherence.interval",
            {"subsets": {"a+b": {"b": {"low": 0.1, "high": 0.5}}}},
            r"interval.subsets.a\+b` has the target 'b', which is given",
        ),
        (
            "coherence.gain",
            {"2": 0.1},
            "`coherence.gain.2` is 0.1, expected an object",
        ),
        (
            "coherence.against",
            {"run": {"one": {"difference": 0.1, "standard_error": None}}},
            "the key 'one', expected",
        ),
        (
            "coherence.against",
            {"run": {"1": {"difference": 1.5, "standard_error": None}}},
            r"run.1.difference` is 1.5, .* \[-1, 1\]",
        ),
        ("coherence.joint_entropy_by_steps", [], r"is \[\], expected an object"),
        ("classifiers", {}, "`classifiers` is empty, expected the accuracy"),
        ("sampler.subsets.m0+m1", {"rhat_max": "x"}, "expected a number or null"),
        ("sampler.settings", "hmc", "`sampler.settings` is 'hmc', expected an object"),
        ("stage1_checkpoint", 3, "`stage1_checkpoint` is 3"),
        ("notes", "one", "`notes` is 'one', expected a list of strings"),
        ("fid", {"m0": float("inf")}, "`fid.m0` is inf, not finite"),
        ("fid", {"m0": object()}, "`fid.m0` is a object, which JSON does not have"),
        ("fid", {1: 2.0}, "`fid` has the key 1, expected a string"),
    ],
)
def test_each_fault_is_named_once(record, path, value, fault):
    _set(record, path, value)
    faults = validate(record)
    assert len(faults) == 1 and re.search(fault, faults[0]), faults


def test_all_faults_are_reported_at_once_and_near_misses_named(record):
    record["wall_secs"] = record.pop("wall_seconds")
    record["seeds"] = 0
    del record["coherence"]["ceiling"]
    found = "\n".join(validate(record))
    assert "`wall_seconds` is missing; did you mean it by `wall_secs`?" in found
    assert "`seeds` is 0" in found
    assert "`coherence.ceiling` is missing" in found
    assert validate([]) == ["the record is a list, expected an object"]


def test_what_was_not_measured_is_null_or_empty(record):
    joint_alone = copy.deepcopy(record)
    joint_alone["coherence"]["conditional"] = {}
    assert validate(joint_alone) == []
    shown = console_table(joint_alone)
    assert "macro" not in shown and "joint, z from normal" in shown
    record["coherence"] |= {"joint": {}, "joint_entropy": None, "ceiling": None}
    record |= {"sampler": {}, "stage1_checkpoint": None, "fid": {"m0": 12.5}}
    assert validate(record) == []
    assert "joint, z from" not in console_table(record)


def test_entropy_belongs_to_its_prior(record):
    assert results.joint_entropy(record, "normal") == 2.0
    record["coherence"]["joint"]["gmm"] = 0.5
    record["coherence"]["joint_entropy"] = {"normal": 1.0, "gmm": None}
    assert validate(record) == []
    assert results.joint_entropy(record, "normal") == 1.0
    assert results.joint_entropy(record, "gmm") is None


def test_summarise_uses_the_sample_standard_deviation():
    assert summarise([0.25]) == 0.25
    assert summarise([0.5, 0.75, 1.0]) == {"mean": 0.75, "sd": 0.25, "n": 3}
    with pytest.raises(ValueError, match="`values` is empty"):
        summarise([])


def test_a_diagnostic_that_is_undefined_becomes_null(record):
    diagnostics = {"rhat_max": None, "ess_min": 3.0}
    record["sampler"]["subsets"]["m0+m1"] = diagnostics
    assert validate(record) == []
    worst = results.worst_of_sampler(record["sampler"]["subsets"])
    assert worst == {"max R-hat": "undefined", "min ESS": "3"}


def test_write_and_read_back(record, tmp_path):
    path = results.write(tmp_path / "digits" / "jnf.json", record)
    assert results.read(path) == record
    assert [p.name for p in path.parent.iterdir()] == ["jnf.json"]


def test_an_invalid_record_is_neither_written_nor_read(record, tmp_path):
    path = tmp_path / "bad.json"
    del record["commit"], record["seeds"]
    with pytest.raises(ValueError, match="(?s)`commit` is missing.*`seeds` is missing"):
        results.write(path, record)
    assert not list(tmp_path.iterdir())
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="bad.json is not valid"):
        results.read(path)
    path.write_text('{"dataset": ')
    with pytest.raises(ValueError, match="bad.json is not JSON"):
        results.read(path)


def test_console_table_fits_a_plain_terminal(record):
    record["classifiers"] = {
        f"modality_{i}": {"mean": 0.95, "sd": 0.001, "n": 4} for i in range(6)
    }
    record["sampler"]["subsets"]["m0+m2"] = {"acceptance": 0.7, "rhat_max": None}
    text = console_table(record)
    assert text.isascii()
    assert max(map(len, text.split("\n"))) <= 80
    for shown in ("0.500 +- 0.020", "0.750", "0.250", "2.000", "0.900", "undefined"):
        assert shown in text
    assert text.count("0.950 +- 0.001") == 6
    assert "sampler dynamic_hmc" in text
    assert re.search(r"given 2 modalities +0\.70 +undefined", text)


def improper(record):
    """Of two subsets given two modalities, one proper; the only one given three not."""
    record["sampler"]["subsets"] = {
        "m0+m1": {"share_improper": 0.009, "step_size": 0.1, "acceptance": 0.8},
        "m0+m2": {"share_improper": 0.5, "step_size": 0.1, "acceptance": 0.7},
        "m1+m2": {"share_improper": None, "step_size": 0.1},  # nobody knows
        "m0+m1+m2": {"share_improper": 1.0, "step_size": 0.1},
    }
    record["subset_coherence"] = {
        "m0+m1": {"m2": 0.9, "m3": {"mean": 0.7, "sd": 0.1, "n": 3}},
        "m0+m2": {"m1": 0.5, "m3": 0.25},
        "m1+m2": {"m0": 0.0, "m3": 0.0},
        "m0+m1+m2": {"m3": 0.25},
    }
    return record


def test_proper_and_improper_subsets_are_told_apart(record):
    assert validate(improper(record)) == []
    found = results.by_properness(record)
    proper, other = found["2"]
    assert proper == (1, pytest.approx(0.8), (0.009, 0.009))
    assert other == (1, 0.375, (0.5, 0.5))
    assert found["3"] == ((0, None, (0, 0)), (1, 0.25, (1, 1)))
    two, three = tables.improper_table({"run": record})[-2:]
    said = "where 100 transitions of a chain end"
    assert two.endswith(f"| 2 | 1 | 0.800 | 1 | 50 % | 0.375 | {said} |")
    assert three.endswith(f"| 3 | 0 | – | 1 | 100 % | 0.250 | {said} |")
    shown = console_table(record)
    assert re.search(r"given 2 modalities +1: 0.800 +1: 0.375", shown)
    assert max(map(len, shown.split("\n"))) <= 80
    # Without a subset that is improper there are no two kinds.
    for of in record["sampler"]["subsets"].values():
        of["share_improper"] = 0.0
    assert (
        results.by_properness(record)
        == {}
        == results.by_properness(record | {"sampler": {}})
    )
    assert "improper" not in tables.improper_table({"run": record})


def test_closed_form_is_no_kernel_of_chains(record):
    for of in improper(record)["sampler"]["subsets"].values():
        of["step_size"] = 0.0
    (row, _) = tables.improper_table({"run": record})[-2:]
    assert row.endswith("the undivided product, in the dimensions without a density |")
    assert results.sampler_kernel(record["sampler"]) == "closed form"
    worst = results.worst_of_sampler(record["sampler"]["subsets"])
    assert worst == {"improper": "undefined"}  # nothing was accepted: no chain ran
    record["sampler"]["stand_in"] = "as the record has it"
    (row, _) = tables.improper_table({"run": record})[-2:]
    assert row.endswith("| as the record has it |")
    record["sampler"]["subsets"]["m0+m1"]["step_size"] = 0.1
    assert results.sampler_kernel(record["sampler"]) == "dynamic_hmc"


def refinement():
    """As `evaluate_refinement` gives it, over three seeds."""
    nats = {"mean": -1234.56, "sd": 10.04, "n": 3}
    return {
        "settings": {"kernel": "dynamic_hmc", "num_transitions": 50},
        "log_joint": {"before": {"1": nats, "2": 3.0}, "after": {"1": 5.5, "2": 4.0}},
        "coherence": {
            "before": {"1": {"mean": 0.5, "sd": 0.02, "n": 3}},
            "after": {"1": 0.625},
        },
        "ceiling": {"before": 0.875, "after": 0.75},
        "subsets": {
            "a": {"rhat_max": 1.5},
            "b": {"rhat_max": 4.25},
            "a+b": {"rhat_max": None},
        },
    }


def test_console_table_shows_what_refinement_changed(record):
    record["refinement"] = refinement()
    assert validate(record) == []
    lines = console_table(record).split("\n")
    assert max(map(len, lines)) <= 80
    (one,) = (line for line in lines if re.match(r"  given 1 +-1234\.6", line))
    said = "given 1 -1234.6 +- 10.0 -> 5.5 0.500 +- 0.020 -> 0.625"
    assert one.split() == said.split()
    (two,) = (line for line in lines if re.match(r"  given 2 +3\.0", line))
    assert two.split() == "given 2 3.0 -> 4.0 0.875 -> 0.750".split()
    assert "refined by 50 transitions of dynamic_hmc through the decoders" in lines


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("log_joint.after.1", float("nan"), "`refinement.log_joint.after.1` is nan"),
        ("coherence.before.1", 1.5, r"`refinement.coherence.before.1` is 1.5, .* \[0"),
        ("ceiling.after", -0.1, "`refinement.ceiling.after` is -0.1"),
        ("log_joint", {"after": {}}, "`refinement.log_joint` is .* before and after"),
    ],
)
def test_faults_of_a_refinement(record, path, value, fault):
    record["refinement"] = refinement()
    _set(record["refinement"], path, value)
    (found,) = validate(record)
    assert re.search(fault, found)


# --- docs/results.md -----------------------------------------------------------------


@pytest.fixture
def repository(record, tmp_path):
    """A small one: two configs, one record, one published row."""
    for folder in ("docs", "configs/digits", "results/digits"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("jnf", "jmvae"):
        config = tmp_path / "configs" / "digits" / f"{name}.py"
        config.write_text("def get_config():\n    return None\n")
    (tmp_path / "configs" / "digits" / "networks.py").write_text("WIDTH = 1\n")
    row = {
        "section": "digits",
        "dataset": "other_digits",
        "method": "rival",
        "conditional": {"3": {"mean": 0.66, "sd": 0.02}},
        "protocol": "theirs",
        "provenance": "README",
        "source": "a | table",
    }
    published = {
        "rows": [row],
        "protocols": {"theirs": "Another split."},
        "provenance": {"README": "stated in a README"},
    }
    (tmp_path / "docs" / "published.json").write_text(json.dumps(published))
    results.write(tmp_path / "results" / "digits" / "jnf.json", record)
    return tmp_path


def pages(root):
    """All pages in one text, the archive's links as if it lay beside the first page."""
    return "\n".join(render.pages(root).values()).replace("](../../", "](../")


def test_every_page_is_up_to_date():
    wanted = render.pages(ROOT)
    known = {"docs/results.md", "README.md"}
    known |= {f"docs/results/{p.name}" for p in (ROOT / "docs/results").glob("*")}
    assert known == set(wanted)
    for name, text in wanted.items():
        stored = (ROOT / name).read_text(encoding="utf-8")
        assert stored == text, f"{name}: run python -m tools.results_page"
    assert wanted["docs/results.md"].count("\n") <= 150


def test_rows_ours_not_yet_run_and_published(repository):
    text = pages(repository)
    ours = next(line for line in text.split("\n") if "(../results/digits" in line)
    for cell in ("0.500 ± 0.020", "0.750", "0.900"):
        assert f"| {cell} |" in ours
    jnf = "[jnf](../configs/digits/jnf.py)"
    assert f"| {jnf} | digits | normal | 0.250 | 0.900 | 0.28 | 2.000 |" in text
    assert "| [jmvae](../configs/digits/jmvae.py) | not yet run | – |" in text
    assert "networks" not in text
    above = f"| {jnf} | digits | 0.500 ± 0.020 | 0.750 | – |"
    assert above in text.partition("## Beside published numbers")[2]
    assert "| rival | other_digits | – | – | 0.66 ± 0.02 | – | – | theirs |" in text
    assert "- **theirs**: Another split." in text
    assert "- **[README]**: stated in a README." in text


def test_beside_the_published_stands_what_papers_state(record):
    record["frechet"] = {"frechet_classifier": {"conditional": {"1": 41.25, "2": 40}}}
    record["likelihood"] = {"joint": {"log_prob": {"mean": -250.4, "sd": 1, "n": 3}}}
    gaps = {"a": {"gap": 3.0}, "b": {"gap": 4.0}, "c": {"gap": None}}
    record["posterior_match"] = {"unimodal": gaps}
    row = dict(section="digits", dataset="digits", method="rival", protocol="theirs")
    known = {
        "rows": [row | {"source": "a table", "provenance": "README"}],
        "protocols": {"theirs": "Another split."},
        "provenance": {"README": "stated in a README"},
    }
    ours = {"results/digits/jnf.json": record}
    lines = published.beside_ours(known, "digits", ours)
    said = "| Fréchet distance from 1 / 2: 41.2 / 40.0 · joint NLL 250 · KL 3.5 |"
    assert [said in line for line in lines].count(True) == 1
    assert not published.beside_ours(known, "polymnist", ours)


def test_one_seed_has_intervals_and_one_stage_one_a_single_row(repository, record):
    folder = repository / "results" / "digits"
    bounds = {"low": 0.7, "high": 0.8125}
    record["coherence"]["interval"] = {"conditional": {"1": bounds, "2": bounds}}
    record["coherence"]["joint"]["gmm_after"] = 0.5
    record["coherence"]["joint_entropy"] = {"normal": 2.0, "gmm_after": 2.25}
    record["stage1_checkpoint"] = "0123456789abcdef"
    for name in ("jnf", "jnf_gmm"):
        results.write(folder / f"{name}.json", record)
    text = pages(repository)
    assert text.count("| 0.500 ± 0.020 | 0.750 [0.700, 0.812] |") == 2
    assert text.count("| normal | 0.250 | 0.900 |") == 1
    assert text.count("| gmm_after | 0.500 | 0.900 | 0.56 | 2.250 |") == 1


def test_nothing_is_a_share_of_a_ceiling_of_zero(repository, record):
    record["coherence"]["ceiling"] = 0.0
    results.write(repository / "results" / "digits" / "jnf.json", record)
    assert "| normal | 0.250 | 0.000 | 2.000 |" in pages(repository)


def test_rendering_without_records(repository):
    (repository / "results" / "digits" / "jnf.json").unlink()
    text = pages(repository)
    assert text.count("not yet run") == 2
    assert "How they came about" not in text


def test_metrics_of_one_data_set_get_a_table_of_their_own(repository, record):
    assert "wrong bit" not in pages(repository)
    record["wrong_bit"] = {"circle": 0.125}
    results.write(repository / "results" / "digits" / "jnf.json", record)
    assert "circle 0.125 |" in pages(repository)


def directions(*names):
    """`subset_coherence` of these modalities, from one and from all but one."""
    sizes = sorted({1, len(names) - 1})
    subsets = [s for k in sizes for s in itertools.combinations(names, k)]
    return {
        "+".join(s): {t: 0.25 * len(s) for t in names if t not in s} for s in subsets
    }


def test_all_nine_directions_of_three_named_modalities(repository, record):
    path = repository / "results" / "digits" / "jnf.json"
    record["subset_coherence"] = directions("image", "pen", "sound")
    assert validate(record) == []
    results.write(path, record)
    lines = pages(repository).split("\n")
    (header,) = [line for line in lines if "→ pen" in line]
    assert header.split(" | ")[1:-1] == [
        "image → pen",
        "image → sound",
        "pen → image",
        "pen → sound",
        "sound → image",
        "sound → pen",
        "image + pen → sound",
        "image + sound → pen",
    ]
    assert header.endswith(" | pen + sound → image |")
    row = lines[lines.index(header) + 2]
    assert row.endswith("|" + " 0.250 |" * 6 + " 0.500 |" * 3)
    for names in (("m0", "m1", "m2"), ("a", "b", "c", "d")):
        record["subset_coherence"] = directions(*names)
        results.write(path, record)
        assert "→" not in pages(repository)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([], r"`subset_coherence` is \[\], expected an object"),
        ({"a": {"b": 1.5}}, r"`subset_coherence.a.b` is 1.5, .* in \[0, 1\]"),
        ({"a+b": {"b": 0.5}}, r"`subset_coherence.a\+b` has the target 'b', which is"),
        ({"a": 0.5}, "`subset_coherence.a` is 0.5, expected an object"),
    ],
)
def test_faults_of_directions(record, value, fault):
    record["subset_coherence"] = value
    (found,) = validate(record)
    assert re.search(fault, found)


def test_refinement_gets_a_table_of_its_own(repository, record):
    assert "through the decoders" not in pages(repository)
    record["refinement"] = refinement()
    results.write(repository / "results" / "digits" / "jnf.json", record)
    text = pages(repository)
    assert "| 50 | 1 | -1234.6 ± 10.0 | 5.5 | 0.500 ± 0.020 | 0.625 |" in text
    assert "| 50 | 2 | 3.0 | 4.0 | 0.875 | 0.750 |" in text


def test_another_divisor_is_told(repository, record):
    assert "divided by" not in pages(repository)
    record["sampler"]["settings"]["divisor"] = "reference"
    results.write(repository / "results" / "digits" / "jnf.json", record)
    assert "dynamic_hmc, divided by 'reference', worst" in pages(repository)
    record["sampler"]["settings"]["defensive_weight"] = 1 / 60_000
    results.write(repository / "results" / "digits" / "jnf.json", record)
    told = "divided by 'reference', defensive weight 1.7e-05, worst"
    assert told in pages(repository)


def test_energies_get_a_table_of_their_own(repository, record):
    assert "Langevin steps" not in pages(repository)
    record["coherence"] |= {
        "joint_by_steps": {
            "energy": {"0": 0.25, "60": {"mean": 0.75, "sd": 0, "n": 2}}
        },
        "joint_entropy_by_steps": {"energy": {"0": None, "60": 2.125}},
    }
    record["energy_priors"] = {
        "energy": {
            "gap_to_long_run": {"short_run": {"mean": 0.125, "log_variance": 0.5}},
            "long_run": {"rhat_max": 1.01},
        }
    }
    results.write(repository / "results" / "digits" / "jnf.json", record)
    text = pages(repository)
    assert (
        "| energy | 0.250 (–) | 0.750 ± 0.000 (2.125) | 0.125 | 0.500 | 1.010 |" in text
    )


def test_an_evaluation_of_its_own_is_told_with_its_commit(repository, record):
    record["evaluation_command"] = "python -m jnf_jax.evaluate --workdir runs/x"
    path = repository / "results" / "digits" / "jnf.json"
    results.write(path, record)
    said = "  - then `python -m jnf_jax.evaluate --workdir runs/x`"
    assert said in pages(repository).split("\n")
    record["evaluation_commit"] = "89abcdef" * 5 + "-dirty"
    results.write(path, record)
    assert f"{said} at 89abcde-dirty" in pages(repository).split("\n")
    for hardware, told in ((record["hardware"], ""), ("4 x TPU v4", ", on 4 x TPU v4")):
        results.write(path, record | {"evaluation_hardware": hardware})
        text = pages(repository)
        assert f"{said} at 89abcde-dirty{told}" in text.split("\n")


def test_rows_of_one_config_have_the_names_of_their_files(repository, record):
    record["unimodal_log_prob"] = {"m0": -2.0}
    folder = repository / "results" / "digits"
    for name in ("a", "b"):
        results.write(folder / f"{name}.json", record)
    text = pages(repository)
    for name in ("a", "b"):
        assert f"| [{name}](../configs/digits/jnf.py) | jnf | digits |" in text
        assert f"| [{name}](../configs/digits/jnf.py) | m0 -2.000 |" in text
    for path in folder.glob("*.json"):
        path.unlink()
    results.write(folder / "a.json", record)
    text = pages(repository)
    assert "| [jnf](../configs/digits/jnf.py) | m0 -2.000 |" in text


def test_a_record_is_shown_where_it_lies(repository, record):
    results.write(repository / "results" / "other" / "x.json", record)
    text = pages(repository)
    assert "| [jnf](../configs/digits/jnf.py) |" in text.split("# other\n")[1]


def test_a_config_to_be_copied_is_no_row(repository):
    folder = repository / "configs" / "own"
    folder.mkdir()
    (folder / "jnf.py").write_text("def get_config():\n    return None\n")
    assert "configs/own" not in pages(repository)


def test_the_first_page_looks_its_numbers_up(repository):
    path = repository / "docs" / "summary.json"
    table = {
        "title": "Digits",
        "section": "digits",
        "records": ["digits/jnf"],
        "published": ["rival"],
        "said": ["Of {digits/jnf:coherence.ceiling} at best."],
    }
    summary = {
        "learnt": ["From one: {digits/jnf:coherence.conditional.1}."],
        "published": "Theirs differ.",
        "tables": [table],
        "figures": [{"path": "x.png", "said": "A plot."}],
    }
    path.write_text(json.dumps(summary))
    lines = render.pages(repository)["docs/results.md"].split("\n")
    assert "- From one: 0.50 ± 0.02." in lines and "Of 0.90 at best." in lines
    ours = "| [jnf](../results/digits/jnf.json) | 200 s, 2 CPU cores | 2 | "
    assert ours + "0.50 ± 0.02 | 0.75 | – | normal 0.25 | 0.90 |" in lines
    assert "| rival [README] | published | – | – | – | 0.66 ± 0.02 | – | – |" in lines
    assert "![A plot.](x.png)" in lines
    assert "- [Handwritten digits (from scikit-learn)](results/digits.md)" in lines
    for changes, told in (
        ({"learnt": ["{digits/gone:coherence.ceiling}"]}, "names results/digits/gone"),
        ({"learnt": ["{digits/jnf:coherence.floor}"]}, "'coherence.floor' is not in"),
        ({"tables": [table | {"published": ["x"]}]}, r"names \['x'\], expected .*riv"),
    ):
        path.write_text(json.dumps(summary | changes))
        with pytest.raises(ValueError, match=told):
            render.pages(repository)


def test_a_page_that_nothing_writes_is_removed(repository):
    render.main(["--root", str(repository)])
    stale = repository / "docs" / "results" / "gone.md"
    stale.write_text("# Gone")
    assert render.main(["--root", str(repository), "--check"]) == 1
    render.main(["--root", str(repository)])
    assert not stale.exists()


def test_open_questions_show_the_records_of_their_configs(repository, record):
    assert "# Left open" not in pages(repository)
    configs = ["digits/jmvae", "digits/jnf"]
    entry = {"question": "Which?", "configs": configs, "tables": ["refinement"]}
    path = repository / "docs" / "open_questions.json"

    def store():
        stored = {"title": "Left open", "source": "By a paper.", "questions": [entry]}
        path.write_text(json.dumps(stored))

    store()
    record["refinement"] = refinement()
    results.write(repository / "results" / "digits" / "jnf.json", record)
    text = pages(repository).split("# Left open\n")[1]
    assert "## Which?" in text
    assert "| [digits / jmvae](../configs/digits/jmvae.py) | not yet run | – |" in text
    (ours,) = (line for line in text.split("\n") if "[digits / jnf]" in line)
    for cell in ("0.500 ± 0.020", "normal 0.250", "normal 2.000", "0.900"):
        assert f"| {cell} |" in ours
    assert "| 50 | 1 | -1234.6 ± 10.0 | 5.5 | 0.500 ± 0.020 | 0.625 |" in text
    entry["answer"] = "This one."
    store()
    assert "## Which?\n\nThis one.\n\n| config |" in pages(repository)
    entry |= {"configs": ["digits/gone"], "tables": ["fid"]}
    store()
    with pytest.raises(ValueError, match=r"'Which\?' names .*gone', 'fid'\], expe"):
        pages(repository)


def test_ablations_have_a_section(repository, record):
    assert "Ablations" not in pages(repository)
    for folder in ("configs", "results"):
        (repository / folder / "ablations").mkdir()
    for name in ("beta", "steps"):
        config = repository / "configs" / "ablations" / f"{name}.py"
        config.write_text("def get_config():\n    return None\n")
    ablation = {
        **dict(sweep="ablations/beta", command="python -m …"),
        **dict(axes=["model.beta"], quantities=["coherence.conditional.1"]),
        "plot": {"x": "model.beta", "y": ["coherence.conditional.1"], "log_x": False},
        "variants": [{"values": {"model.beta": 2.5}, "record": record}],
        "notes": ["Other processes ran too."],
    }
    path = repository / "results" / "ablations" / "beta.json"
    results.write(path, ablation, ablations.faults_of)
    text = pages(repository)
    assert "| 2.5 | 0.500 ± 0.020 |" in text and "- Other processes ran too." in text
    assert "Not yet run: [steps](../configs/ablations/steps.py)." in text
    assert "beta.png" not in text
    path.with_suffix(".png").write_bytes(b"")
    assert "![beta](../results/ablations/beta.png)" in pages(repository)

    variant = {"values": {"model.beta": 1}, "record": {}}
    for changes, told in (
        ({"sweep": "ablations/gone"}, "`sweep` is 'ablations/gone"),
        (
            {"variants": [{"values": {}, "record": record}]},
            r"`variants\[0\].values` ha",
        ),
        ({"quantities": ["coherence.conditional"]}, "is no number in the record"),
        ({"plot": {"y": ["a"]}}, r"`plot` lacks \['log_x', 'x'\]"),
        (
            {"plot": {"x": "model.beta", "y": ["a"], "log_x": False}},
            "quantity 'a' is not in the record",
        ),
        ({"variants": [variant]}, r"`?variants\[0\].record: `dataset` is missing"),
    ):
        path.write_text(json.dumps(ablation | changes))
        with pytest.raises(ValueError, match=told):
            pages(repository)


def test_check_tells_by_its_exit_status(repository, capsys):
    program = ["--root", str(repository)]
    assert render.main([*program, "--check"]) == 1
    assert "out of date" in capsys.readouterr().out
    assert render.main(program) == 0
    assert render.main([*program, "--check"]) == 0
    with (repository / "docs" / "results.md").open("a") as file:
        file.write("0.99, by hand\n")
    assert render.main([*program, "--check"]) == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("commit", "unknown", "jnf.json: `commit` is unknown"),
        ("config", "digits/gone", "gone', expected one of this"),
        ("config", "../elsewhere", "expected one of this repository"),
        ("unfinished", ["fid"], r"jnf.json: `unfinished` is \['fid'\], expected none"),
    ],
)
def test_a_quoted_run_can_be_traced(repository, record, key, value, message):
    (repository.parent / "elsewhere.py").write_text("")
    changed = copy.deepcopy(record) | {key: value}
    results.write(repository / "results" / "digits" / "jnf.json", changed)
    with pytest.raises(ValueError, match=message):
        pages(repository)


def test_published_rows_name_their_protocol_and_provenance():
    published = json.loads((ROOT / "docs" / "published.json").read_text("utf-8"))
    assert len(published["rows"]) > 20
    for row in published["rows"]:
        assert row["protocol"] in published["protocols"], row["method"]
        assert row["provenance"] in published["provenance"], row["method"]
        assert row["source"] and ("conditional" in row or "stated" in row)


def test_the_readme_shows_records_beside_published_numbers_between_its_marks():
    text = (ROOT / "README.md").read_text("utf-8")
    begin, end = front.README_MARKS
    shown = text.partition(begin)[2].partition(end)[0]
    path = ROOT / "results/polymnist/jnf_paper_cpu_beside_amortised.json"
    record = results.read(path)
    one = record["coherence"]["conditional"]["1"]
    assert f"| JNF by chains, ours | {one:.2f} |" in shown
    assert "| JNF, published | 0.67 ± 0.04 | 0.85 ± 0.02 |" in shown
    with pytest.raises(ValueError, match="README.md lacks"):
        front.readme(text.replace(end, ""), ROOT, {}, {"rows": []})
