"""Configs by name or by path: found, listed, loaded; one field set from a command line.

``digits/jnf`` is the file ``configs/digits/jnf.py``, wherever the program runs: the
folder is installed as ``jnf_jax.configs``. Rows that differ in a key are one file, a
family: its ``get_config(argument)`` is told which by ``digits/jnf_after:gmm``, and its
``ARGUMENTS`` say which there are. A path names a file of one's own, ``mine.py`` or
``mine.py:argument``.
"""

import importlib
import inspect
import re
import runpy
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections

import jnf_jax.configs
from jnf_jax.options import near
from jnf_jax.runtime.files import user_path

FOLDER = Path(jnf_jax.configs.__file__).parent

RENAMED = (
    (r"(.+)/jnf_(mixture|gmm|maf|ebm|diffusion)_after(_cpu)?", r"\1/jnf_after:\2\3"),
    (r"(.+)/jnf_shared_(cl|dcca)(_cpu)?", r"\1/jnf_shared:\2\3"),
    (r"(.+)/mmvae_plus_ebm", r"\1/mmvae_plus:ebm"),
    (r"circles_squares/jnf_gaussian", "circles_squares/jnf:gaussian"),
    (r"circles_squares/noisy_(.+)", r"circles_squares/noisy:\1"),
    (r"digits/jnf_ebm_(laplace|reference)", r"digits/jnf_ebm:\1"),
    (r"digits/jnf_mcmc_posterior", "digits/jnf_refined:hmc"),
    (r"digits/jnf_langevin_posterior", "digits/jnf_refined:langevin"),
    (r"digits/jnf_ebm_mcmc_posterior", "digits/jnf_refined:ebm"),
    (r"polymnist/jnf_(gaussian|mixture)_cpu", r"polymnist/jnf_paper_cpu:\1"),
    (r"polymnist/jnf_cpu:(gaussian|mixture)", r"polymnist/jnf_paper_cpu:\1"),
    (r"polymnist/jnf_cpu:amortised", "polymnist/jnf_cpu"),
    (r"polymnist/jnf_ebm_cpu", "polymnist/jnf_ebm:cpu"),
    (r"polymnist/jnf_diffusion_prior", "polymnist/jnf_after:diffusion"),
    (r"polymnist/jnf_divisor_cpu", "polymnist/jnf_divisor:cpu"),
    (r"polymnist/jnf_(shared_.+)_divisor_cpu", r"polymnist/jnf_divisor:\1_cpu"),
    (r"records/jnf", "own/jnf"),
    (r"records/jnf_shared_(cl|dcca)", r"own/jnf_shared:\1"),
    (r"ablations/(.+)_(polymnist|mnist_svhn)", r"ablations/\1:\2"),
)
"""Names that configs had when each was a file -> their names today."""


class Entry(NamedTuple):
    """One file of the folder: its name, as "digits/jnf_after", and its first line.

    ``arguments`` {argument: one line on it} are empty where it is no family;
    ``stands_alone`` is whether the name without an argument is a config too.
    """

    name: str
    first_line: str
    arguments: dict[str, str]
    stands_alone: bool

    def names(self) -> list[str]:
        """All that the file is called with."""
        alone = [self.name] if self.stands_alone else []
        return alone + [f"{self.name}:{argument}" for argument in self.arguments]


def entries(folder: Path = FOLDER) -> list[Entry]:
    """One for each file ``<folder>/<data set>/<row>.py``, sorted by name."""
    found = []
    for path in sorted(folder.glob("*/*.py")):
        module = _told(str(path), lambda path=path: _run(path))
        if "get_config" in module:
            name = f"{path.parent.name}/{path.stem}"
            first_line = (module["__doc__"] or "").partition("\n")[0]
            alone = not _needs_argument(module["get_config"])
            entry = Entry(name, first_line, module.get("ARGUMENTS", {}), alone)
            found.append(entry)
    return found


def names(folder: Path = FOLDER) -> list[str]:
    """Everything in the folder that ``--config`` takes."""
    return [name for entry in entries(folder) for name in entry.names()]


def listing() -> str:
    """A line for each config: its name and what it is; arguments below their family."""
    rows = []
    for entry in entries():
        rows.append((entry.name, entry.first_line))
        rows += [(f"  :{name}", line) for name, line in entry.arguments.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {line}" for name, line in rows)


def name_of(text: str) -> str:
    """The config that ``text`` names, as records name it.

    A path into the folder becomes a name, and so does what was one when a run of then
    was trained; the path of a file elsewhere stays as it is. A folder of data in the
    argument is left out: where data lay says nothing of what they were.

    >>> name_of("configs/digits/jnf_gmm_after.py"), name_of("own/jnf_shared:cl:runs/a")
    ('digits/jnf_after:gmm', 'own/jnf_shared:cl')
    """
    place, argument = _split(text)
    tail = "" if argument is None else f":{argument}"
    tail = re.sub(r":[^:]*/.*", "", tail)
    if _is_file(place):
        ours = _inside(place)
        return text if ours is None else ours + tail
    named = _bare(place)
    return _renamed(named + tail) or (
        named + tail if _inside(FOLDER / f"{named}.py") == named else text
    )


def load_config(text: str) -> ml_collections.ConfigDict:
    """The config that ``text`` names: what its ``get_config`` returns.

    ``text`` is a name, as "digits/jnf" or "digits/jnf_after:gmm", or the path of a
    file, as "mine.py" or "mine.py:argument".

    Raises:
        ValueError: In one line: there is no such config or file, it cannot be run, it
            has no ``get_config``, or that fails, lacks its argument or returns
            something else.
    """
    place, argument = _split(text)
    path = user_path(place, "name")
    path = path if place.endswith(".py") else FOLDER / f"{place}.py"
    if not path.is_file() or not (place.endswith(".py") or _inside(path) == place):
        raise ValueError(_not_there(text, place))
    found = _told(place, lambda: _run(path))
    if not callable(found.get("get_config")):
        raise ValueError(f"{place} has no get_config(), expected a config")
    arguments = _arguments(place, argument, found)
    config = _told(f"get_config() of {text}", lambda: found["get_config"](*arguments))
    if not isinstance(config, ml_collections.ConfigDict):
        raise ValueError(
            f"get_config() of {text} returned {type(config).__name__}, expected an "
            "ml_collections.ConfigDict"
        )
    return config


def _split(text: str) -> tuple[str, str | None]:
    """Name or path, and the argument after the first colon, if there is one."""
    place, colon, argument = text.partition(":")
    return (place, argument) if colon and not _is_file(text) else (text, None)


def _is_file(text: str) -> bool:
    return user_path(text, "name").is_file()


def _run(path: Path) -> dict[str, Any]:
    """The names that a file defines; files of the folder are modules, imported once."""
    name = _inside(path)
    if name is None:
        return runpy.run_path(str(path))
    return vars(importlib.import_module(f"jnf_jax.configs.{name.replace('/', '.')}"))


def _needs_argument(get_config: Callable) -> bool:
    parameters = inspect.signature(get_config).parameters.values()
    return any(parameter.default is parameter.empty for parameter in parameters)


def _inside(path: str | Path) -> str | None:
    """The name of a file of the folder; None of other files and of none."""
    path, folder = user_path(path, "name").resolve(), FOLDER.resolve()
    if not path.is_file() or path.parents[1] != folder:
        return None
    return f"{path.parent.name}/{path.stem}" if path.stem.isidentifier() else None


def _bare(text: str) -> str:
    """``text`` without folder and ending, where it is a path into this folder."""
    return re.sub(r"^configs/|\.py(?=:|$)", "", text)


def _renamed(name: str) -> str | None:
    """The name today of a config, with its argument, that had another."""
    for pattern, new in RENAMED:
        if match := re.fullmatch(pattern, name):
            if match.expand(new) in names():
                return match.expand(new)
    return None


def _not_there(text: str, place: str) -> str:
    """One line on a name or a path that leads to nothing."""
    named = _bare(place)
    if today := _renamed(_bare(text)) or _renamed(named):
        return f"{text!r} is now {today!r}"
    asked = re.sub(r":[^:]*/.*", "", text.replace(place, named))  # no folder of data
    hint = near(asked, names(), most=3)
    if place.endswith(".py"):
        return f"{place} is no file, expected one with get_config(){hint}"
    return (
        f"{text!r} is no config, expected a name of --list or the path of a .py{hint}"
    )


def _arguments(place: str, argument: str | None, found: dict[str, Any]) -> tuple:
    """The arguments that ``get_config`` is to be called with.

    Without ``ARGUMENTS`` its ``get_config`` takes any text, as a folder of data.
    """
    known = [f"{place}:{name}" for name in found.get("ARGUMENTS", ())]
    expected = f"expected one of {known}" if known else f"expected {place}:ARGUMENT"
    if argument is None:
        if _needs_argument(found["get_config"]):
            raise ValueError(f"{place!r} takes an argument, {expected}")
        return ()
    if today := _renamed(_bare(f"{place}:{argument}")):
        raise ValueError(f"'{place}:{argument}' is now {today!r}")
    if not inspect.signature(found["get_config"]).parameters:
        raise ValueError(f"{place!r} takes no argument, got {argument!r}")
    # What follows a further colon is the file's own, as a folder of data.
    if known and argument.partition(":")[0] not in found["ARGUMENTS"]:
        hint = near(argument, found["ARGUMENTS"]).replace("'", f"'{place}:", 1)
        raise ValueError(f"'{place}:{argument}' is no config, {expected}{hint}")
    return (argument,)


def _told(what: str, run: Callable[[], Any]) -> Any:
    """``run()``; whatever a file raises is one line that says where."""
    try:
        return run()
    except SyntaxError as error:
        raise ValueError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:  # it is somebody's file: anything may come
        last = traceback.extract_tb(error.__traceback__)[-1]
        told = " ".join(f"{type(error).__name__}: {error}".split())
        where = f"{last.filename}:{last.lineno}"
        raise ValueError(f"{what} raised {told} ({where})") from error


def parse_setting(text: str) -> tuple[str, str]:
    """The field and the value, as ``options.override`` takes them, of FIELD=VALUE.

    Raises:
        ValueError: There is no "=".
    """
    field, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"`--set` is {text!r}, expected FIELD=VALUE")
    return field, value
