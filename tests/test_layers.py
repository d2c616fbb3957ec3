"""Who may import whom: a table, checked against every import statement.

Imports inside functions count too: laziness does not lift a module to another layer.
"""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jnf_jax"

# Unit (folder or module of jnf_jax) -> the units that it may import. Each line may name
# only units above it, so the table itself is an order.
INTERNAL = {
    "options": (),
    "names": (),
    "types": ("names",),
    "content_keys": (),
    "stage": ("types",),
    "noise_schedule": (),
    "runtime": (),
    "flows.masks": (),
    "flows": ("types", "flows.masks"),
    "likelihoods": ("types",),
    "aggregation": ("types",),
    "losses": ("types", "noise_schedule", "aggregation"),
    "sampling": ("options", "types", "noise_schedule"),
    "networks": ("options", "types", "flows", "flows.masks", "likelihoods"),
    "priors": (
        *("options", "types", "noise_schedule", "flows", "flows.masks"),
        *("likelihoods", "losses", "sampling", "networks"),
    ),
    "methods": (
        *("options", "types", "noise_schedule", "flows", "flows.masks"),
        *("likelihoods", "aggregation", "losses", "sampling", "networks", "priors"),
        "stage",
    ),
    "data": ("options", "names", "types", "content_keys", "runtime"),
    "checkpoint": ("types", "runtime"),
    "evaluation.statistics": ("names", "types", "sampling"),
}
# Above them, by layer: the trainer, what judges a trained model, and experiments.
UPPER = {"training": 5, "evaluation": 6, "experiments": 7, "configs": 7, "page": 7}
PROGRAM = 8  # every module that no table names: train, evaluate, sample, …

NUMERIC = {"numpy", "jax", "jaxtyping"}
# What a unit may import from outside; for others everything but what is OWNED.
EXTERNAL = {
    "options": set(),
    "names": set(),
    "types": NUMERIC,
    "content_keys": set(),
    "stage": NUMERIC,
    "noise_schedule": NUMERIC,
    "runtime": NUMERIC,
    "flows.masks": NUMERIC,
    "flows": NUMERIC | {"distrax"},
    "likelihoods": NUMERIC | {"distrax"},
    "aggregation": NUMERIC,
    "losses": NUMERIC | {"distrax", "blackjax"},
    "sampling": NUMERIC | {"distrax", "blackjax"},
    "networks": NUMERIC | {"distrax", "flax"},
    "priors": NUMERIC | {"distrax", "blackjax", "sklearn"},
    "methods": NUMERIC | {"distrax", "blackjax"},
    "evaluation.statistics": (
        NUMERIC | {"distrax", "blackjax", "scipy", "sklearn", "threadpoolctl"}
    ),
}
# Packages that one place of the tree wraps for all others.
OWNED = {
    "flax": {"networks"},
    "orbax": {"checkpoint"},
    "optax": {"training", "evaluation"},
    "sklearn": {"priors", "evaluation", "evaluation.statistics", "estimator"},
    "safetensors": {"experiments"},
    "grain": {"data"},
    "mudata": {"data"},
    "tensorflow_datasets": {"data"},
    "ml_collections": {"experiments", "layer 8"},
    "absl": {"layer 8"},
    "tensorflow": set(),
    "torch": set(),
    "tools": set(),  # of the repository, not of the wheel
}


def unit_of(module: str) -> str:
    """`jnf_jax.flows.maf` -> `flows`; `jnf_jax` itself is the empty string."""
    parts = module.split(".")[1:]
    inner = ".".join(parts[:2])
    return inner if inner in INTERNAL else parts[0] if parts else ""


def level(unit: str) -> int:
    """Where a unit above the table stands; 4 and below are the table's business."""
    return 4 if unit in INTERNAL else UPPER.get(unit, PROGRAM)


def imports(tree: ast.AST, module: str, is_package: bool) -> set[str]:
    """Absolute names of everything that a file imports, `from x import y` as `x.y`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            up = len(parts) - node.level + is_package
            base = ".".join(parts[:up]) + "." if node.level else ""
            base = (base + (node.module or "")).rstrip(".")
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def faults(module: str, names: set[str]) -> list[str]:
    """Imports of ``module`` that the tables do not allow."""
    unit, found = unit_of(module), []
    places = {unit, f"layer {level(unit)}"}
    for name in sorted(names):
        top = name.split(".")[0]
        if top == "jnf_jax":
            other = unit_of(name)
            if other == unit:
                continue
            if unit in INTERNAL:
                allowed = other in INTERNAL[unit]
            else:
                # The library's units are all open to what stands above them.
                allowed = level(other) <= level(unit)
            if not allowed:
                found.append(f"{module} imports {name}: `{unit}` is below `{other}`")
        elif top in sys.stdlib_module_names:
            continue
        elif top in OWNED and not places & OWNED[top]:
            found.append(f"{module} imports {name}, which belongs to {OWNED[top]}")
        elif unit in EXTERNAL and top not in EXTERNAL[unit]:
            found.append(f"{module} imports {name}, expected {sorted(EXTERNAL[unit])}")
    return found


def modules() -> list[tuple[str, Path]]:
    """Every module of the package but its lazy top `__init__`."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name != "jnf_jax":
            found.append((name, path))
    return found


def test_the_table_is_an_order():
    seen = set()
    for unit, allowed in INTERNAL.items():
        assert set(allowed) <= seen, f"{unit} may import what stands below it"
        seen.add(unit)


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("jnf_jax.losses.elbo", "import jnf_jax.networks.mlp", "`losses` is below"),
        ("jnf_jax.losses.elbo", "from jnf_jax import training", "`losses` is below"),
        ("jnf_jax.losses.elbo", "from ..data import digits", "`losses` is below"),
        ("jnf_jax.losses.elbo", "def f():\n  import flax", "flax, which belongs"),
        ("jnf_jax.sampling.hmc", "import optax", "optax, which belongs"),
        ("jnf_jax.sampling.hmc", "import scipy.stats", "expected"),
        ("jnf_jax.methods.jnf", "from flax import linen", "belongs to {'networks'}"),
        (
            "jnf_jax.training.step",
            "from jnf_jax.experiments.config import Config",
            "below `experiments`",
        ),
        (
            "jnf_jax.experiments.config",
            "from jnf_jax.train import main",
            "is below `train`",
        ),
        ("jnf_jax.flows.masks", "from jnf_jax.flows.maf import x", "is below `flows`"),
    ],
)
def test_the_walk_sees_a_wrong_import(module, source, fault):
    found = faults(module, imports(ast.parse(source), module, is_package=False))
    assert len(found) == 1 and fault in found[0], found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "jnf_jax.losses.elbo",
            "from jnf_jax.types import Views\nimport distrax, math",
        ),
        ("jnf_jax.losses.elbo", "from .terms import log_ratio"),
        ("jnf_jax.networks.mlp", "from flax import linen"),
        ("jnf_jax.evaluate", "from absl import app\nfrom jnf_jax import training"),
    ],
)
def test_the_walk_lets_a_right_import_pass(module, source):
    assert not faults(module, imports(ast.parse(source), module, is_package=False))


def test_every_import_follows_the_table():
    found = []
    for name, path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += faults(name, imports(tree, name, path.name == "__init__.py"))
    assert not found, "\n".join(found)


def test_configs_import_only_ml_collections_and_siblings():
    found = []
    for path in sorted((ROOT / "configs").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for name in imports(ast.parse(path.read_text("utf-8")), module, False):
            is_standard = name.split(".")[0] in sys.stdlib_module_names
            known = (
                *("ml_collections", "jnf_jax.configs", "jnf_jax.data.manifest"),
                *("jnf_jax.experiments.options", "jnf_jax.runtime.files"),
            )
            if not is_standard and not name.startswith(known):
                found.append(f"{module} imports {name}")
    assert not found, "\n".join(found)


def prior_class_checks(tree: ast.AST, module: str) -> list[str]:
    """Lines on which ``isinstance`` is asked about a name of ``jnf_jax.priors``."""
    of_priors = {
        name.rpartition(".")[2]
        for name in imports(tree, module, is_package=False)
        if unit_of(name) == "priors"
    }
    return [
        f"{module}, line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in {"isinstance", "issubclass"}
        and of_priors & {getattr(n, "id", "") for n in ast.walk(node.args[1])}
    ]


def test_the_walk_sees_a_check_of_a_priors_class():
    source = """
        from jnf_jax.priors.normal import NormalPrior
        isinstance(prior, tuple)
        isinstance(prior, int | NormalPrior)
    """
    tree = ast.parse(textwrap.dedent(source))
    (found,) = prior_class_checks(tree, "jnf_jax.methods.product")
    assert found.endswith("line 4: isinstance(prior, int | NormalPrior)")


def test_a_prior_is_asked_and_its_class_is_not():
    found = []
    for name, path in modules():
        if unit_of(name) != "priors":
            found += prior_class_checks(ast.parse(path.read_text("utf-8")), name)
    assert not found, "\n".join(found)


def test_the_trainer_knows_no_prior_and_no_chain():
    """But for the two options by which a config gives a learnt prior its own pace."""
    found = []
    for path in sorted((PACKAGE / "training").glob("*.py")):
        for line in path.read_text("utf-8").lower().splitlines():
            if any(word in line for word in ("langevin", "energy", "energies")):
                found.append(f"{path.name}: {line.strip()}")
            if "prior" in line and path.name != "optimizers.py":
                found.append(f"{path.name}: {line.strip()}")
    assert not found, "\n".join(found)


BLOCKED = (
    *("flax", "orbax", "tensorflow", "tensorflow_datasets", "grain"),
    *("ml_collections", "sklearn", "matplotlib"),
)


def test_what_is_pure_works_without_the_program_around_it():
    script = textwrap.dedent(f"""
        import importlib, importlib.abc, sys

        class Blocked(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {BLOCKED}:
                    raise ImportError(name + " is blocked")

        sys.meta_path.insert(0, Blocked())
        for name in {BLOCKED}:
            try:
                importlib.import_module(name)
            except ImportError as error:
                assert "is blocked" in str(error), error
            else:
                raise SystemExit(name + " could be imported: the test tests nothing")
        for module in "jnf_jax.losses", "jnf_jax.sampling", "jnf_jax.priors.vamp":
            package = importlib.import_module(module)
            public = [name for name in vars(package) if not name.startswith("_")]
            assert public, module + " offers no public names"
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
