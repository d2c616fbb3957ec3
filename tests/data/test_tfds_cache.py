"""Prepared TFDS sets: found, decoded once, cached with checksums."""

import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

from jnf_jax.data import tfds_cache


def load(prepared, cache, split="train", name="mnist"):
    return tfds_cache.load_images(
        name, split, data_dir=str(prepared[0]), cache_dir=str(cache)
    )


@pytest.mark.parametrize("name", ["mnist", "svhn_cropped"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_decodes_what_was_prepared_and_again_from_the_cache(
    prepared, tmp_path, name, split
):
    images, labels = prepared[1][name][split]
    for _ in range(2):
        found = load(prepared, tmp_path, split, name)
        np.testing.assert_array_equal(found["images"], images)
        np.testing.assert_array_equal(found["labels"], labels)
        assert found["images"].dtype == np.uint8 and found["labels"].dtype == np.int32


def test_the_second_time_nothing_is_decoded(prepared, tmp_path, monkeypatch):
    first = load(prepared, tmp_path)
    monkeypatch.setattr(tfds_cache, "_decode", None)
    np.testing.assert_array_equal(first["images"], load(prepared, tmp_path)["images"])


def test_reading_never_imports_tensorflow(prepared, tmp_path):
    code = f"""
import sys
from jnf_jax.data.tfds_cache import load_images
found = load_images(
    "mnist", "test", data_dir={str(prepared[0])!r}, cache_dir={str(tmp_path)!r}
)
assert len(found["images"]) == len(found["labels"]) == 30
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_a_damaged_cache_is_named_and_rebuilt(prepared, tmp_path, damage):
    expected = load(prepared, tmp_path)
    (path,) = tmp_path.glob("mnist-3.0.1-train-*/images.npy")
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-7] ^= 1
        path.write_bytes(content)
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "remove":
        path.unlink()
    else:
        (path.parent / "sha256.json").write_text("{")
    with pytest.warns(UserWarning, match=f"{path.parent} is damaged"):
        found = load(prepared, tmp_path)
    np.testing.assert_array_equal(found["images"], expected["images"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        np.testing.assert_array_equal(
            load(prepared, tmp_path)["images"], expected["images"]
        )


def test_a_write_that_fails_leaves_no_cache_behind(tmp_path, monkeypatch):
    def broken(file, array):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(tfds_cache.np, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        tfds_cache.cached("a", {}, str(tmp_path), lambda: {"x": np.zeros(3)})
    (folder,) = tmp_path.glob("a-*")
    assert list(folder.iterdir()) == []


def test_another_preparation_of_the_same_version_has_its_own_cache(prepared, tmp_path):
    load(prepared, tmp_path / "cache")
    other = tmp_path / "other"
    shutil.copytree(prepared[0], other)
    info = other / "mnist/3.0.1/dataset_info.json"
    info.write_text(info.read_text() + "\n")
    load((other,), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tfds_cache.cache_root() == tmp_path / "jnf_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(tfds_cache.cache_root()) == "/home/someone/.cache/jnf_jax"
    assert str(tfds_cache.cache_root("~/here")) == "/home/someone/here"


def test_the_environment_says_where_the_data_are(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared[0]))
    assert tfds_cache.find_prepared("mnist") == prepared[0] / "mnist/3.0.1"


def test_a_set_that_is_not_prepared_gives_the_command(tmp_path):
    command = (
        r"pip install 'jnf_jax\[prepare\]' && python -m jnf_jax.data.prepare mnist "
        rf"--data_dir={tmp_path}\n"
    )
    with pytest.raises(FileNotFoundError, match=command):
        tfds_cache.load_images("mnist", "train", data_dir=str(tmp_path))


def test_another_file_format_gives_the_command_for_another_folder(tmp_path):
    folder = tmp_path / "mnist/3.0.1"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps({"fileFormat": "tfrecord"}))
    with pytest.raises(FileNotFoundError, match=r"only \['tfrecord'\] files") as caught:
        tfds_cache.find_prepared("mnist", str(tmp_path))
    assert f"--data_dir={tmp_path}_array_record\n" in str(caught.value)


def test_the_newest_version_is_taken(tmp_path):
    for version in ("3.0.1", "3.0.10", "junk"):
        folder = tmp_path / "mnist" / version
        folder.mkdir(parents=True)
        info = json.dumps({"fileFormat": "array_record"})
        (folder / "dataset_info.json").write_text(info)
    found = tfds_cache.find_prepared("mnist", str(tmp_path))
    assert found.name == "3.0.10"
