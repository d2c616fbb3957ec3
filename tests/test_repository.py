"""What holds for every file: sizes, names, docstrings, examples, configs, commands."""

import ast
import doctest
import importlib
import re
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest

from jnf_jax.experiments import config_files
from jnf_jax.experiments.config import resolve

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "jnf_jax").rglob("*.py"))
MAX_FUNCTION_LINES = 60
INSTALL = "pip install -e '.[test]' -c constraints.txt"
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def _name(path):
    return path.relative_to(ROOT).as_posix()


def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _walk(kinds):
    """(where, node) for every node of ``kinds`` in the package."""
    for path in MODULES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, kinds):
                yield f"{_name(path)}:{node.lineno}", node


def _body_lines(function):
    """Lines of a function from its signature to its end, without the docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= function.body[0].end_lineno - function.body[0].lineno + 1
    return lines


def test_functions_stay_readable():
    functions = _walk((ast.FunctionDef, ast.AsyncFunctionDef))
    long = {
        f"{where} {node.name}": size
        for where, node in functions
        if (size := _body_lines(node)) >= MAX_FUNCTION_LINES
    }
    assert not long, f"{MAX_FUNCTION_LINES} lines and more: {long}"


def test_no_module_is_a_drawer_for_everything():
    vague = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert not [_name(p) for p in MODULES if p.stem in vague]


def test_nothing_is_pickled():
    found = []
    for where, node in _walk((ast.Import, ast.ImportFrom, ast.keyword)):
        if isinstance(node, ast.keyword):
            if node.arg == "allow_pickle" and getattr(node.value, "value", 1):
                found.append(f"{where} allow_pickle")
            continue
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        found += [f"{where} {n}" for n in names if n.split(".")[0] in PICKLES]
    assert not found


def test_no_bare_except_and_nothing_left_to_do():
    bare = [where for where, node in _walk(ast.ExceptHandler) if node.type is None]
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    unfinished = [
        f"{_name(path)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if marks.search(line)
    ]
    assert not bare + unfinished


def _public(path):
    """The module itself, its public functions, classes, and these classes' methods."""
    tree = _tree(path)
    if path.name != "__init__.py" or tree.body:
        yield "module", tree
    kinds = (ast.FunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node


def test_public_names_have_docstrings():
    missing = [
        f"{_name(path)}: {name}"
        for path in MODULES
        for name, node in _public(path)
        if not ast.get_docstring(node)
    ]
    assert not missing


def test_public_functions_are_annotated():
    missing = []
    for path in MODULES:
        for name, node in _public(path):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args]
                arguments += node.args.kwonlyargs
                bare = [a.arg for a in arguments if a.annotation is None]
                bare += [] if node.returns else ["return"]
                missing += [f"{_name(path)}: {name}({arg})" for arg in bare]
    assert not missing


@pytest.mark.parametrize(
    "path", [p for p in MODULES if ">>>" in p.read_text("utf-8")], ids=_name
)
def test_examples_in_docstrings_run(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = importlib.import_module(
        ".".join(part for part in parts if part != "__init__")
    )
    usual = {"jax": jax, "jnp": jax.numpy, "np": np}  # need no import in an example
    failed, tried = doctest.testmod(
        module, extraglobs=usual, optionflags=doctest.ELLIPSIS
    )
    assert tried and not failed, "see the captured output"


# --- configs -------------------------------------------------------------------------


@pytest.mark.parametrize("entry", config_files.entries(), ids=lambda e: e.name)
def test_configs_load_and_are_documented(entry):
    folder, _, row = entry.name.partition("/")
    program = "sweep" if folder == "ablations" else "train"
    module = importlib.import_module(f"jnf_jax.configs.{folder}.{row}")
    command = f"python -m jnf_jax.{program} --config {entry.names()[0]}".split(":")[0]
    assert command in module.__doc__, f"its docstring gives `{command} …`"
    for argument in entry.arguments:
        assert argument in module.__doc__, "its docstring says what is known of each"
    for name in entry.names():
        config = config_files.load_config(name)
        assert config.is_locked, "get_config() ends with config.lock()"
        if program == "train":
            resolve(config)


def test_what_a_docstring_runs_is_a_config():
    text = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("configs", "docs", "launch", "jnf_jax", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".md"} and not path.match("docs/results*")
    ) + (ROOT / "README.md").read_text(encoding="utf-8")
    run = {*re.findall(r"--config (\w+/[\w:]+)(?![\w/])", text)}
    unknown = run - {*config_files.names()}
    assert len(run) > 40 and not unknown


def test_every_package_is_in_the_wheel():
    stored = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {
        _name(path.parent).replace("/", ".")
        for path in MODULES
        if path.name == "__init__.py"
    }
    assert {*stored["tool"]["setuptools"]["packages"]} == found | {"jnf_jax.configs"}


# --- commands ------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["README.md", ".ci/run", ".github/workflows/ci.yml"])
def test_the_install_command_is_the_same_everywhere(file):
    assert INSTALL in (ROOT / file).read_text(encoding="utf-8")


def test_markers_of_ci_exist():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for expression in re.findall(r'-m "([^"]+)"', ci):
        for marker in re.findall(r"\w+", expression):
            known = marker in {"and", "or", "not"} or f'"{marker}: ' in pyproject
            assert known, f"{marker} is no marker of pyproject.toml"
