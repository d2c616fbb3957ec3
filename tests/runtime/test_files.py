"""A file is there whole, or as it was before."""

import pytest

from jnf_jax.runtime.files import write_whole


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
