"""What is kept of a model's draws for a page."""

import json

import numpy as np
import page_runs
from PIL import Image

from jnf_jax.evaluation import explorer


def kept(tmp_path, explored, latents=None):
    folder = tmp_path / "report"
    latents = page_runs.latents() if latents is None else latents
    written = explorer.keep(page_runs.dataset(), explored, latents, folder)
    assert sorted(written) == sorted(folder.iterdir())
    return folder, json.loads((folder / "about.json").read_text())


def test_every_cell_lies_where_it_is_said_to(tmp_path):
    explored = page_runs.explored()
    folder, about = kept(tmp_path, explored)
    assert about["given"] == ["image", "sound", "text", "image+sound"]
    assert (about["tuples"], about["labels"]) == ([0, 1, 2], [1, 0, 1])
    assert [*about["views"]] == ["image", "sound", "text"]
    of = about["views"]["image"]
    sheet = np.asarray(Image.open(folder / of["file"]))
    height, width = of["cell"]
    assert (height, width) == (4, 6)
    drawn = {"truth": explored.truth["image"][:, None]}
    for subset in ("sound", "text"):
        drawn[subset] = explored.given[(subset,)]["image"].reshape(3, 2, 4, 6, 3)
    drawn["prior normal"] = explored.priors["normal"]["image"][:6].reshape(
        3, 2, 4, 6, 3
    )
    assert of["columns"].keys() == drawn.keys()
    for name, x in drawn.items():
        for row in range(3):
            for k, column in enumerate(of["columns"][name]):
                top, left = row * height, column * width
                cell = sheet[top : top + height, left : left + width]
                np.testing.assert_array_equal(cell, np.rint(x[row, k] * 255))


def test_texts_are_read_and_sounds_are_files(tmp_path):
    explored = page_runs.explored()
    folder, about = kept(tmp_path, explored)
    text, sound = about["views"]["text"], about["views"]["sound"]
    [place] = text["columns"]["truth"]
    value = explored.truth["text"][2, 0]
    assert text["rows"][2][str(place)] == {"text": f"<b>{value:.3f}</b>"}
    names = {told["sound"] for row in sound["rows"] for told in row.values()}
    assert names == {path.name for path in folder.glob("*.wav")}
    # The truth, and two draws from each of the image, the text and the prior.
    assert len(names) == 3 * (1 + 2 * 3)


def test_fewer_tuples_of_larger_sheets_and_nothing_of_before(tmp_path, monkeypatch):
    explored = page_runs.explored()
    folder, about = kept(tmp_path, explored)
    cells = [
        np.prod(of["cell"]) * sum(map(len, of["columns"].values()))
        for of in about["views"].values()
    ]
    monkeypatch.setattr(explorer, "MAX_PIXELS", 2 * sum(cells))
    before = {path.name for path in folder.glob("*.wav")}
    _, about = kept(tmp_path, explored)
    assert about["tuples"] == [0, 1] and about["labels"] == [1, 0]
    assert {len(of["rows"]) for of in about["views"].values()} == {2}
    assert {path.name for path in folder.glob("*.wav")} < before


def test_latents_are_projected_on_where_they_vary_most(tmp_path):
    z = np.zeros((5, 4))
    z[:, 2], z[:, 1] = [-2, -1, 0, 1, 2], [0.1, -0.2, 0.2, -0.2, 0.1]
    z = np.vstack([z + 7.0, np.full((1, 4), np.nan)])
    found = explorer.Latents(z, np.arange(6), {"normal": np.full((1, 4), 7.0)})
    _, about = kept(tmp_path, None, found)
    of = about["latents"]
    np.testing.assert_allclose(np.abs(of["points"]), np.abs(z[:5, [2, 1]] - 7.0))
    np.testing.assert_allclose(of["shares"], [10 / 10.14, 0.14 / 10.14])
    assert of["labels"] == [0, 1, 2, 3, 4] and of["priors"]["normal"] == [[0.0, 0.0]]
    assert "views" not in about
    nothing = explorer.Latents(z[5:], None, {})
    assert kept(tmp_path, None, nothing)[1]["latents"] is None
