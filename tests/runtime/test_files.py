"""A file is there whole, or as it was before; a path of a user's means one place."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from jnf_jax import programs
from jnf_jax.data import record_files
from jnf_jax.runtime.files import npz, try_file, try_folder, user_path, write_whole


def test_text_and_bytes_take_the_place_of_what_was_there(tmp_path):
    path = tmp_path / "new" / "a.txt"
    assert write_whole(path, "é") == path and path.read_bytes() == "é".encode()
    write_whole(path, b"\x00")
    assert path.read_bytes() == b"\x00" and [*path.parent.iterdir()] == [path]


def test_a_failed_write_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "a", "text")
    assert [*tmp_path.iterdir()] == [tmp_path / "a"]


def test_a_npz_holds_arrays_of_any_name():
    arrays = {"file": np.arange(3), "allow_pickle": np.eye(2), "-": np.array("é")}
    with np.load(io.BytesIO(npz(arrays)), allow_pickle=False) as read:
        assert {name: x.tolist() for name, x in read.items()} == {
            name: x.tolist() for name, x in arrays.items()
        }


def test_home_is_the_same_place_for_every_path_of_a_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert user_path("~/a", "out") == tmp_path / "a"
    assert programs._PathParser("workdir").parse("~/a") == tmp_path / "a"
    x = np.zeros((1, 2), np.float32)
    splits = {split: [({"a": x}, None)] for split in ("train", "validation", "test")}
    record_files.write("~/a", name="a", num_classes=None, splits=splits)
    assert record_files.open_dataset("~/a").shapes == {"a": (2,)}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("path", ["", " ", "~nobody-of-this-name/a", "a\0"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match=rf"`out` is {re.escape(repr(path))}, exp"):
        user_path(path, "out")
    with pytest.raises(flags.Error, match="^`--workdir` is "):
        programs._PathParser("workdir").parse(path)


@pytest.mark.parametrize("path", ["gs://a/b", Path("gs://a/b"), "s3://a", "file:///a"])
def test_a_path_of_an_object_store_is_refused_with_what_to_do(path):
    told = rf"^`--workdir` is '{path}', expected a path of a file system: mount"
    with pytest.raises(ValueError, match=told):
        user_path(path, "--workdir")
    with pytest.raises(flags.Error, match=told):
        programs._PathParser("workdir").parse(path)


def test_a_colon_makes_no_object_store():
    for path in ("C:/a", "runs/a:/b", "a:b", "./gs:/a"):
        assert user_path(path, "out") == Path(path)


def test_a_program_ends_where_it_could_not_write(tmp_path, monkeypatch, capsys):
    own = flags.FlagValues()
    flags.DEFINE_string("out", str(tmp_path / "a.json"), "", flag_values=own)
    own.mark_as_parsed()
    own.out = tmp_path / "a.json"
    monkeypatch.setattr(programs.flags, "FLAGS", own)
    programs._try_places(tmp_path / "new" / "run")
    assert not [*tmp_path.iterdir()]
    for workdir, out in ((None, tmp_path), (Path("/proc/a"), tmp_path / "a.json")):
        own.out = out
        with pytest.raises(SystemExit, match="2"), programs.faults_told():
            programs._try_places(workdir)
        line = capsys.readouterr().err
        assert re.fullmatch("error: `--(out|workdir)` /.* cannot be written.*\n", line)


def test_folders_made_for_a_refused_command_go(tmp_path):
    made = [tmp_path / "runs" / "a", tmp_path / "runs"]
    made[0].mkdir(parents=True)
    (made[0] / programs.NOTICES).touch()
    (made[0] / "config.json").touch()
    programs._remove_if_unused(made)
    assert made[0].is_dir()  # it was used
    (made[0] / "config.json").unlink()
    programs._remove_if_unused(made)
    assert not [*tmp_path.iterdir()]


def test_a_place_is_tried_and_nothing_stays_there(tmp_path):
    try_folder(tmp_path / "a" / "b", "workdir")
    try_file(tmp_path / "a" / "b.json", "out")
    assert not [*tmp_path.iterdir()]
    (tmp_path / "file").touch()
    for place, why in (
        (tmp_path / "file", "is no folder"),
        (tmp_path / "file" / "a", "Not a directory|is no folder"),
        (user_path("/proc/a", "x"), "No such file"),
        (tmp_path / ("a" * 300), "name too long"),
    ):
        with pytest.raises(OSError, match=rf"^`workdir` {place} cannot be .*({why})"):
            try_folder(place, "workdir")
    with pytest.raises(OSError, match=f"^`out` {tmp_path} cannot .* it is a folder"):
        try_file(tmp_path, "out")
