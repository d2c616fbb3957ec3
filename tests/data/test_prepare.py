"""The program that prepares TFDS sets, as far as it goes without TensorFlow."""

import importlib.util

import pytest

from jnf_jax.data import prepare

WITHOUT = importlib.util.find_spec("tensorflow") is None


@pytest.mark.skipif(not WITHOUT, reason="TensorFlow is installed")
def test_without_tensorflow_it_says_what_to_install(capsys, tmp_path):
    assert prepare.main(["mnist", f"--data_dir={tmp_path}"]) == 1
    assert "pip install 'jnf_jax[prepare]'" in capsys.readouterr().err


def test_help_names_the_sets(capsys):
    with pytest.raises(SystemExit) as caught:
        prepare.main(["--help"])
    assert caught.value.code == 0
    assert "mnist, svhn_cropped" in capsys.readouterr().out


def test_an_unknown_set_is_refused(capsys):
    with pytest.raises(SystemExit):
        prepare.main(["cifar10"])
    assert "invalid choice: 'cifar10'" in capsys.readouterr().err


def test_what_is_there_already_is_kept(prepared, monkeypatch, capsys):
    # With the set there, TFDS needs no TensorFlow to see that nothing is to be done.
    monkeypatch.setattr(prepare.importlib.util, "find_spec", lambda name: name)
    assert prepare.main(["mnist", f"--data_dir={prepared[0]}"]) == 0
    assert f"mnist: {prepared[0]}/mnist/3.0.1" in capsys.readouterr().out


def test_a_set_in_another_format_is_left_alone(prepared, tmp_path, monkeypatch, capsys):
    source = prepared[0] / "mnist/3.0.1"
    folder = tmp_path / "mnist/3.0.1"
    folder.mkdir(parents=True)
    for path in source.iterdir():
        name = path.name.replace("array_record", "tfrecord")
        content = path.read_bytes()
        if path.suffix == ".json":
            content = content.replace(b"array_record", b"tfrecord")
        (folder / name).write_bytes(content)
    monkeypatch.setattr(prepare.importlib.util, "find_spec", lambda name: name)
    assert prepare.main(["mnist", f"--data_dir={tmp_path}"]) == 1
    assert "as tfrecord, expected array_record" in capsys.readouterr().err
