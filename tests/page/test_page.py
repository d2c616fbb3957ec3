"""The page: valid, escaped, without network, and quick."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import page_runs
import pytest

from jnf_jax import report
from jnf_jax.evaluation import paired
from jnf_jax.evaluation.paired import Scores
from jnf_jax.page import embedding
from jnf_jax.page.page import write_page
from jnf_jax.page.runs import differences, read_runs

VOID = {"meta", "link", "img", "input", "br"}
BLOCKS = {"p", "ul", "table", "div", "section", "figure", "pre", "h3", "details"}


class Checked(HTMLParser):
    """Every element is closed where it must be; ids are unique; attributes are once."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.targets, self.faults = [], Counter(), set(), []
        self.text, self.links = [], []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self.open]
        self.faults += [f"id {x!r} twice" for x, n in self.ids.items() if n > 1]
        self.faults += [f"no id {x!r}" for x in self.targets - self.ids.keys()]

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        given = dict(attributes)
        if len(names) > len(given):
            self.faults.append(f"<{tag}> has an attribute twice")
        if tag in BLOCKS and "p" in self.open:
            self.faults.append(f"<{tag}> in <p>")
        if tag == "img" and not given.get("alt"):
            self.faults.append("<img> without alt")
        if "id" in given:
            self.ids[given["id"]] += 1
        for name in ("for", "aria-labelledby"):
            self.targets |= {given[name]} if name in given else set()
        link = given.get("href") or given.get("src")
        if link and link.startswith("#"):
            self.targets.add(link[1:])
        elif link:
            self.links.append(link)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        if "svg" not in self.open and tag != "svg":
            self.faults.append(f"<{tag}/> outside of an svg")

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, text):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(text)


def checked(folders, tmp_path):
    out = write_page(folders, tmp_path / "page.html")
    text = out.read_text(encoding="utf-8")
    page = Checked(text)
    assert not page.faults
    assert text.startswith("<!DOCTYPE html>")
    assert {link.partition(",")[0] for link in page.links} <= {
        "data:", "data:image/png;base64",
    }  # fmt: skip
    return text, " ".join(" ".join(page.text).split())


def test_a_page_of_a_run_has_all_sections(tmp_path):
    run = page_runs.write(tmp_path / "a", judged=page_runs.record())
    text, shown = checked([run], tmp_path)
    for said in (
        "jnf on made_up", "image 4×6×3", "1,000 train", "coherence given 2 views",
        "0.500 [0.450, 0.550]", "Choose which views are given", "given image",
        "z of 3 test tuples given all views", "stage joint: loss", "stage joint: kl",
        "The ceiling is 0.900", "model.latent_dim", "git checkout 0123abc",
        "python -m jnf_jax.train --config made/up --workdir w",
    ):  # fmt: skip
        assert said in shown, said
    [data] = re.findall(r'id="explored">(.*?)</script>', text)
    [explored] = json.loads(data)
    assert explored["given"] == ["image", "sound", "text", "image+sound"]
    assert set(explored["views"]) == set(page_runs.VIEWS)
    sound = explored["views"]["sound"]
    assert sound["rows"][0]["0"]["sound"].startswith("data:audio/wav;base64,")
    assert len(re.findall(r"\.s0-\d\{background-image:url\(data:image/png", text)) == 3


def test_nothing_of_a_run_is_markup(tmp_path):
    evil = '</script><img src="https://e.vil/x" onerror="alert(1)">&'
    judged = page_runs.record(command=evil, hardware=evil, method=evil, notes=[evil])
    run = page_runs.write(
        tmp_path / "a<b>&",
        judged=judged,
        config={"method": evil, "data": {"x": evil}},
        about={"command": evil, "config_file": evil},
    )
    text, shown = checked([run], tmp_path)
    assert '<img src="https' not in text and "<b>0" not in text
    assert shown.count(evil) > 3 and "a<b>&" in shown
    [data] = re.findall(r'id="explored">(.*?)</script>', text)
    assert "<" not in data
    rows = json.loads(data)[0]["views"]["text"]["rows"]
    assert rows[0]["0"]["text"].startswith("<b>0.")


def test_bold_is_the_best_of_comparable_runs(tmp_path):
    better = page_runs.record()
    better["coherence"] = better["coherence"] | {"ceiling": 0.95}
    a = page_runs.write(tmp_path / "runs" / "a", judged=page_runs.record())
    b = page_runs.write(
        tmp_path / "runs" / "b", judged=better, config={"model": {"latent_dim": 7}}
    )
    text, shown = checked([a, b], tmp_path)
    assert "<td>0.900</td><td><strong>0.950</strong></td>" in text
    assert differences(read_runs([a, b])) == {"model.latent_dim": [3, 7]}
    assert '<option value="1">b</option>' in text
    judged = json.loads((b / "results.json").read_text()) | {"protocol": "v1-custom"}
    (b / "results.json").write_text(json.dumps(judged))
    text, shown = checked([a, b], tmp_path)
    assert "<strong>" not in text and "different protocols: none is called" in shown


def test_runs_of_the_same_tuples_are_told_apart(tmp_path):
    """A table more, where both kept what each tuple scored."""
    folders = [
        page_runs.write(tmp_path / name, judged=page_runs.record()) for name in "ab"
    ]
    _, shown = checked(folders, tmp_path)
    assert "less that of" not in shown
    for folder, score in zip(folders, (0.25, 0.75), strict=True):
        paired.keep(folder, Scores({"1": np.full(4, score)}, np.array([0, 0, 1, 1])))
    text, shown = checked(folders, tmp_path)
    assert "given 1, less that of a" in shown and "0.500 [0.500, 0.500]" in text


def test_runs_that_lack_something_show_the_rest(tmp_path):
    trained = page_runs.write(tmp_path / "trained")
    nothing = {
        "coherence": dict(conditional={}, joint={}, joint_entropy=None, ceiling=None),
        "classifiers": {}, "sampler": {}, "subset_coherence": {},
    }  # fmt: skip
    unlabelled = page_runs.write(
        tmp_path / "unlabelled", judged=page_runs.record(**nothing), labels=None
    )
    _, shown = checked([trained], tmp_path)
    assert "Not evaluated: trained." in shown and "stage joint: loss" in shown
    text, shown = checked([unlabelled], tmp_path)
    assert "the data have no labels" in shown and "no labels" in shown
    assert "z of 3 test tuples given all views; the data have no labels" in shown
    assert '"labels": null' in text
    shutil.rmtree(unlabelled / "report")
    (unlabelled / "metrics.jsonl").unlink()
    _, shown = checked([trained, unlabelled], tmp_path)
    assert "No latents were kept of trained, unlabelled." in shown
    assert "No draws to explore of trained, unlabelled" in shown


def test_seeds_are_one_run(tmp_path):
    for seed in (0, 1, 10):
        page_runs.write(tmp_path / "w" / f"seed_{seed}", judged=page_runs.record())
    [run] = read_runs([tmp_path / "w"])
    assert [*run.metrics] == ["0", "1", "10"] and run.record is None
    spread = {"mean": 0.5, "sd": 0.1, "n": 3}
    of_all = page_runs.record(seeds=[0, 1, 10])
    of_all["coherence"] = of_all["coherence"] | {"ceiling": spread}
    (tmp_path / "w" / "results.json").write_text(json.dumps(of_all))
    text, shown = checked([tmp_path / "w"], tmp_path)
    assert "0.500 ± 0.100" in shown and "w, seed 10: joint" in shown
    assert len(json.loads(re.findall(r'id="explored">(.*?)</script>', text)[0])) == 1


def test_the_page_is_bounded_and_says_what_it_leaves_out(tmp_path, monkeypatch):
    run = page_runs.write(tmp_path / "a", judged=page_runs.record())
    kept = sum(p.stat().st_size for p in (run / "report").iterdir())
    monkeypatch.setattr(embedding, "MAX_BYTES", kept * 4 // 3)
    _, shown = checked([run], tmp_path)
    assert "Choose which views" in shown and "Too large for this page" not in shown
    large = run / "samples" / "given_image.png"
    large.write_bytes(large.read_bytes() + bytes(kept * 2))
    text, shown = checked([run], tmp_path)
    assert "Too large for this page, in samples/: given_image.png." in shown
    monkeypatch.setattr(embedding, "MAX_BYTES", 10)
    text, shown = checked([run], tmp_path)
    assert "No draws to explore of a" in shown and "image/png" not in text


def test_the_program_is_quick_and_needs_no_jax(tmp_path):
    runs = [
        str(page_runs.write(tmp_path / name, judged=page_runs.record()))
        for name in "abcd"
    ]
    script = (
        "import sys, time; begin = time.process_time()\n"
        "from jnf_jax import report; print(report.main(sys.argv[1:]))\n"
        "assert time.process_time() - begin < 2, 'too slow'\n"
        "found = {'jax', 'matplotlib', 'flax'} & set(sys.modules)\n"
        "assert not found, found"
    )
    out = tmp_path / "out.html"
    command = [sys.executable, "-c", script, *runs, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{out}\n"), done.stderr
    assert out.stat().st_size < 15e6


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: RUN; --help lists the arguments"),
        (["nowhere"], "nowhere has no config.json, nor has a folder seed_* in it"),
        (["a", "a"], "a is given twice"),
        (["a", "--out", "."], "`--out` . cannot be written: it is a folder"),
        (["a", "--nut"], "unrecognized arguments: --nut"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    page_runs.write(tmp_path / "a")
    with pytest.raises((ValueError, OSError)) as caught:
        report.main(arguments)
    assert str(caught.value).startswith(told)
    assert not (tmp_path / "report.html").exists()
