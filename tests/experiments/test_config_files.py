"""Configs by name and by path, from any folder; each fault is one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jnf_jax.experiments import config_files

ROOT = Path(__file__).parents[2]
NAMES = config_files.names()


def run(*arguments, cwd):
    """A program in a process of its own."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_a_name_a_path_and_a_copy_are_one_config(tmp_path, monkeypatch):
    copy = tmp_path / "of any name" / "mine.py"
    copy.parent.mkdir()
    copy.write_text((ROOT / "configs/digits/jnf_after.py").read_text("utf-8"))
    there = config_files.load_config(f"{ROOT}/configs/digits/jnf_after.py:gmm")
    monkeypatch.chdir(copy.parent)
    named = config_files.load_config("digits/jnf_after:gmm")
    assert named.to_json() == there.to_json()
    assert named.to_json() == config_files.load_config("mine.py:gmm").to_json()
    assert named.fitted_prior.name == "gmm" and named.is_locked


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("digits/jnf", "digits/jnf"),
        ("digits/jnf_after:gmm", "digits/jnf_after:gmm"),
        (f"{ROOT}/configs/digits/jnf.py", "digits/jnf"),
        (f"{ROOT}/configs/digits/jnf_after.py:gmm", "digits/jnf_after:gmm"),
        ("configs/polymnist/jnf_ebm_cpu.py", "polymnist/jnf_ebm:cpu"),  # of a run
        ("polymnist/jnf_cpu:gaussian", "polymnist/jnf_paper_cpu:gaussian"),
        ("/elsewhere/mine.py:a", "/elsewhere/mine.py:a"),
    ],
)
def test_records_name_a_config_of_the_folder_by_its_name(text, name):
    assert config_files.name_of(text) == name


def test_records_name_a_file_elsewhere_by_its_path(tmp_path):
    folder = tmp_path / "configs" / "digits"
    folder.mkdir(parents=True)
    (folder / "jnf.py").write_text("")
    assert config_files.name_of(f"{folder}/jnf.py") == f"{folder}/jnf.py"


def _values(tree, keys):
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if key in keys:
            yield value
        elif isinstance(value, dict | list):
            yield from _values(value, keys)


def test_every_record_names_a_config_and_old_commands_are_understood():
    trees = [json.loads(path.read_text()) for path in ROOT.glob("results/**/*.json")]
    named = {name for tree in trees for name in _values(tree, ("config", "sweep"))}
    assert len(named) > 40 and not named - {*NAMES}
    ran = " ".join(text for tree in trees for text in _values(tree, ("command",)))
    paths = {*re.findall(r"configs/\w+/\w+\.py", ran)}
    assert len(paths) > 30
    assert not {config_files.name_of(path) for path in paths} - {*NAMES}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("digits/jnff", "'digits/jnff' is no config, expected a name of --list or the "
         "path of a .py. Did you mean 'digits/jnf'"),
        ("gone.py", "gone.py is no file, expected one with get_config()"),
        ("configs/digits/jnf.py", "configs/digits/jnf.py is no file, expected one "
         "with get_config(). Did you mean 'digits/jnf'"),
        ("configs/digits/jnf_maf_after.py", "'configs/digits/jnf_maf_after.py' is now "
         "'digits/jnf_after:maf'"),
        ("polymnist/jnf_cpu:gaussian", "'polymnist/jnf_cpu:gaussian' is now "
         "'polymnist/jnf_paper_cpu:gaussian'"),
        ("configs/polymnist/jnf_cpu.py:mixture", "'configs/polymnist/jnf_cpu.py:"
         "mixture' is now 'polymnist/jnf_paper_cpu:mixture'"),
        ("cub/jnf_shared_cl", "'cub/jnf_shared_cl' is now 'cub/jnf_shared:cl'"),
        ("configs/records/jnf.py", "'configs/records/jnf.py' is now 'own/jnf'"),
        ("digits/jnf_shared", "'digits/jnf_shared' takes an argument, expected one of "
         "['digits/jnf_shared:cl', 'digits/jnf_shared:dcca']"),
        ("digits/jnf_shared:dca", "'digits/jnf_shared:dca' is no config, expected one "
         "of ['digits/jnf_shared:cl', 'digits/jnf_shared:dcca']. Did you mean "
         "'digits/jnf_shared:dcca'?"),
        ("digits/jnf:big", "'digits/jnf' takes no argument, got 'big'"),
        ("../configs/digits/jnf", "'../configs/digits/jnf' is no config"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told_in_a_line(text, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="^" + re.escape(told)) as caught:
        config_files.load_config(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "text", "told"),
    [
        ("def get_config(:\n", "m.py", "m.py:1: invalid syntax"),
        ("a = 1\n", "m.py", "m.py has no get_config(), expected a config"),
        ("import gone\n", "m.py",
         "m.py raised ModuleNotFoundError: No module named 'gone' (m.py:1)"),
        ("def get_config():\n    return {}['a']\n", "m.py",
         "get_config() of m.py raised KeyError: 'a' (m.py:2)"),
        ("def get_config():\n    return {}\n", "m.py", "get_config() of m.py returned "
         "dict, expected an ml_collections.ConfigDict"),
        ("def get_config(size):\n    pass\n", "m.py",
         "'m.py' takes an argument, expected m.py:ARGUMENT"),
        ("def get_config(size):\n    return size\n", "m.py:9",
         "get_config() of m.py:9 returned str, expected an ml_collections.ConfigDict"),
    ],
)  # fmt: skip
def test_what_a_file_does_wrong_is_told_in_a_line(
    source, text, told, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("m.py").write_text(source)
    with pytest.raises(ValueError) as caught:
        config_files.load_config(text)
    assert str(caught.value) == told


# --- on a command line ---------------------------------------------------------------


def test_list_prints_all_without_jax(tmp_path):
    done = run("-X", "importtime", "-m", "jnf_jax.train", "--list", cwd=tmp_path)
    assert done.returncode == 0
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "ml_collections" in imported and "jax" not in imported
    listed = dict(re.findall(r"^(\S+) +(\S.*)$", done.stdout, re.M))
    assert {*listed} == {entry.name for entry in config_files.entries()}
    assert listed["digits/jnf"].startswith("JNF on the embedded digits")
    assert "  :dcca " in done.stdout


def test_fields_of_a_named_config_can_be_overridden(tmp_path):
    script = (
        "import sys; from jnf_jax import programs, train\n"
        "sys.argv = ['train', '--config', 'digits/jnf_after:gmm', '--workdir=w',\n"
        "            '--config.fitted_prior.num_components=3']\n"
        "programs.parse_flags(sys.argv); config, name = programs.config_of('w', "
        "train._CONFIG)\n"
        "print(name, config.fitted_prior.num_components, config.is_locked)"
    )
    done = run("-c", script, cwd=tmp_path)
    assert done.stdout == "digits/jnf_after:gmm 3 True\n", done.stderr


def test_a_source_tree_needs_no_installation():
    script = (
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if 'ditable' not in str(f)]\n"
        "from jnf_jax.configs.digits import jnf\n"
        "print(jnf.__file__)"
    )
    done = run("-c", script, cwd=ROOT)
    assert done.stdout == f"{ROOT}/configs/digits/jnf.py\n", done.stderr
