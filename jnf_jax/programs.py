"""What the programs share: the config flag, a workdir's config, how faults are told."""

import itertools
import json
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import jax
import ml_collections
from absl import app, flags
from ml_collections import config_flags

from jnf_jax.runtime import host_memory, processes


def define_config(description: str) -> flags.FlagHolder:
    """The flag ``--config FILE``; its fields become flags, unknown ones are refused."""
    return config_flags.DEFINE_config_file(
        "config", None, description, lock_config=True
    )


def config_of(
    workdir: Path, flag: flags.FlagHolder | None = None
) -> tuple[ml_collections.ConfigDict, str]:
    """The config of the flag, or else the one that ``workdir`` was trained with.

    Returns:
        The config, and the file it came from as records name it.

    Raises:
        ValueError: If there is neither.
    """
    if flag is not None and flag.value is not None:
        return flag.value, config_flags.get_config_filename(flags.FLAGS["config"])
    path = Path(workdir) / "config.json"
    if not path.exists():
        raise ValueError(
            f"`workdir` {workdir} has no config.json: expected the directory of a run "
            "of jnf_jax.train"
        )
    stored = json.loads(path.read_text())
    return ml_collections.ConfigDict(stored["config"]), stored["config_file"]


def command_line() -> str:
    """The command that this process runs, for a shell; where data lay is DIR.

    Data are known by their checksums: their folders are those of one machine.
    """
    module = sys.modules["__main__"].__spec__
    program = f"python -m {module.name}" if module else "python"
    section = r"(?:data|evaluation\.\w+)"
    folder = rf"((?:--?config\.|(?:--?set=)?){section}\.\w+_(?:dir|file))"
    arguments = [
        "DIR"
        if re.fullmatch(folder, before)
        else re.sub(rf"^{folder}=.*", r"\1=DIR", argument)
        for before, argument in itertools.pairwise(sys.argv)
    ]
    return shlex.join([*program.split(), *arguments])


def tell_faults(main: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
    """``main``, but what a user did wrong is one message and exit code 2, no traceback.

    Of several processes those that lose one say so and end at once, code 1, as waiting
    for it is in vain. Anything else is a fault of ours and keeps its traceback.
    """

    def wrapped(argv: list[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"unexpected arguments {argv[1:]}")
        try:
            main(argv)
        except (ValueError, OSError, FloatingPointError) as error:
            raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
            if Path(__file__).parent not in Path(raised_in).parents:
                raise  # not a message of ours
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except jax.errors.JaxRuntimeError as error:
            if jax.process_count() == 1:
                raise
            print(f"{error}\nerror: {processes.LOST_PROCESS}", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)

    return wrapped


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a program: its flags are parsed, its faults told, its memory kept."""
    host_memory.keep_freed_memory()
    host_memory.collect_rarely()
    app.run(tell_faults(main))
