"""What a run of training leaves for its page."""

import json
import re

import numpy as np
from PIL import Image


def test_a_run_ends_in_its_page(trained):
    workdir, record = trained
    about = json.loads((workdir / "report" / "about.json").read_text())
    assert set(about["given"]) == set(record["subset_coherence"])
    assert about["priors"] == [*record["coherence"]["joint"]]
    assert len(set(about["labels"])) == len(about["labels"]) > 0
    of = about["views"]["m0"]
    sheet = np.asarray(Image.open(workdir / "report" / of["file"]))
    height, width = of["cell"]
    columns = sum(map(len, of["columns"].values()))
    assert sheet.shape == (height * len(about["tuples"]), width * columns, 3)
    priors = {f"prior {name}" for name in about["priors"]}
    assert of["columns"].keys() == {"truth", "m1", "m2", "m1+m2"} | priors
    draws = [sheet[:height, width * c : width * (c + 1)] for c in of["columns"]["m1"]]
    assert len(np.unique(draws, axis=0)) == len(draws)
    assert len(about["latents"]["points"]) == len(about["latents"]["labels"]) > 0
    text = (workdir / "report.html").read_text(encoding="utf-8")
    [explored] = json.loads(re.findall(r'id="explored">(.*?)</script>', text)[0])
    assert explored["given"] == about["given"]
    assert f"<td>{record['coherence']['ceiling']:.3f} [" in text
