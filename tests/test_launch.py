"""Launch scripts: what they would run names modules, flags and configs that exist."""

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from absl import flags

from jnf_jax import distributed, train
from jnf_jax.experiments import config_files

ROOT = Path(__file__).parents[1]
README = (ROOT / "launch" / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"`((?:sbatch |python )?[^`]*launch/[^`]+)`", README)
FLAGS = flags.FLAGS  # those of jnf_jax.train, which is imported above


def dry_run(command):
    """The words of each line that a command of the README prints with --dry-run."""
    words = shlex.split(command)
    if words[0] == "sbatch":
        words[0] = "bash"
    words.insert(1 + (words[0] == "bash"), "--dry-run")
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def programs(words):
    """The arguments of every `python -m …` in a line, quoted ones too."""
    nested = [shlex.split(word) for word in words if "python -m " in word]
    if nested:
        return [program for words in nested for program in programs(words)]
    # What a shell would read after the program is none of its arguments.
    ends = [i for i, word in enumerate(words) if word in {">", "2>&1", "<", "&", "&&"}]
    start = words.index("-m") + 1 if "-m" in words else len(words)
    end = min([i for i in ends if i > start], default=len(words))
    return [words[start:end]] if start < end else []


def check(arguments):
    """Every module, flag, config and field of one program exists."""
    module, *rest = arguments
    assert importlib.util.find_spec(module), module
    if module == "jnf_jax.distributed":
        options = distributed.parse(rest)
        assert options.coordinator
        return check([options.program, *options.rest])
    assert module == "jnf_jax.train" and train
    config = None
    for flag, value in zip(rest, rest[1:] + [""], strict=True):
        if not flag.startswith("--"):
            continue
        name, _, own = flag[2:].partition("=")
        if name == "config":
            config = config_files.load_config(own or value)
        elif name.startswith("config."):
            section = config
            for field in name.split(".")[1:]:
                assert field in section, f"{name} is no field of the config"
                section = section[field]
        else:
            assert name in FLAGS, f"--{name} is no flag of {module}"
    assert config is not None and "--workdir" in rest
    return None


def test_the_readme_names_every_script():
    scripts = {path.name for path in (ROOT / "launch").iterdir()} - {"README.md"}
    assert {shlex.split(c)[-1] for c in COMMANDS} and scripts == {
        Path(word).name
        for command in COMMANDS
        for word in shlex.split(command)
        if word.startswith("launch/")
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_script_would_run_exists(command):
    lines = dry_run(command)
    assert lines
    found = [program for words in lines for program in programs(words)]
    assert bool(found) == ("--config" in command)
    for arguments in found:
        check(arguments)


def test_a_local_run_has_as_many_processes_as_asked_for():
    command = "launch/local.sh --processes 3 --config digits/jnf --workdir w"
    found = [distributed.parse(words[words.index("-m") + 2 :])
             for words in dry_run(command)]  # fmt: skip
    assert [options.process_id for options in found] == [0, 1, 2]
    assert {options.num_processes for options in found} == {3}
    assert len({options.coordinator for options in found}) == 1


@pytest.mark.parametrize("script", ["local.sh", "tpu_vm.sh", "gke_xpk.sh"])
def test_a_script_without_arguments_says_how_it_is_used(script):
    done = subprocess.run(
        [ROOT / "launch" / script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and f"launch/{script} [--dry-run]" in done.stderr


def test_a_wrong_flag_would_be_found():
    with pytest.raises(AssertionError, match="no flag"):
        check(["jnf_jax.train", "--config", "digits/jnf", "--wordir", "w"])
    with pytest.raises(AssertionError, match="no field"):
        check(["jnf_jax.train", "--config", "digits/jnf",
               "--config.model.latent=3", "--workdir", "w"])  # fmt: skip
