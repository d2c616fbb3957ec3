"""What the programs share: the config flag, a workdir's config, how faults are told.

JAX takes seconds to import: only what runs after the flags were parsed does.
"""

import itertools
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import ml_collections
from absl import app, flags
from ml_collections import config_flags

from jnf_jax.experiments import config_files


class _ConfigParser(flags.ArgumentParser):
    """Loads the config that a name or a path says."""

    def parse(self, argument: str) -> ml_collections.ConfigDict:
        try:
            return config_files.load_config(argument).lock()
        except ValueError as error:
            raise flags.IllegalFlagValueError(f"`--config`: {error}") from error


class _ListFlag(flags.BooleanFlag):
    """Prints all configs instead of running the program."""

    def parse(self, argument: str) -> None:
        if self._parse(argument):
            print(config_files.listing())
            sys.exit(0)


def define_config(description: str) -> flags.FlagHolder:
    """The flag ``--config NAME``; its fields become flags, unknown ones are refused.

    And ``--list``, which prints the names.
    """
    flags.DEFINE_flag(_ListFlag("list", False, "Print all configs and exit."))
    flag = config_flags.DEFINE_config_file("config", None, description)
    flags.FLAGS["config"].parser = _ConfigParser()  # its own reads paths alone
    return flag


def config_of(
    workdir: Path, flag: flags.FlagHolder | None = None
) -> tuple[ml_collections.ConfigDict, str]:
    """The config of the flag, or else the one that ``workdir`` was trained with.

    Returns:
        The config, and its name as records have it.

    Raises:
        ValueError: If there is neither.
    """
    if flag is not None and flag.value is not None:
        named = config_flags.get_config_filename(flags.FLAGS["config"])
        return flag.value, config_files.name_of(named)
    from jnf_jax.experiments import run_folder

    config, named = run_folder.read_config(workdir)
    return config, config_files.name_of(named)


def command_line() -> str:
    """The command that this process runs, for a shell; where data lay is DIR.

    Data are known by their checksums: their folders are those of one machine.
    """
    module = sys.modules["__main__"].__spec__
    program = f"python -m {module.name}" if module else "python"
    section = r"(?:data|evaluation\.\w+)"
    folder = rf"((?:--?config\.|(?:--?set=)?){section}\.\w+_(?:dir|file))"
    own = r"(?:--?config=)?own/jnf(?:_shared:\w+)?"
    arguments = [
        "DIR"
        if re.fullmatch(folder, before)
        else re.sub(rf"^{folder}=.*|^({own}):.*", _without_folder, argument)
        for before, argument in itertools.pairwise(sys.argv)
    ]
    return shlex.join([*program.split(), *arguments])


def _without_folder(match: re.Match) -> str:
    return f"{match[1]}=DIR" if match[1] else f"{match[2]}:DIR"


def tell_faults(main: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
    """``main``, but what a user did wrong is one message and exit code 2, no traceback.

    Of several processes those that lose one say so and end at once, code 1, as waiting
    for it is in vain. Anything else is a fault of ours and keeps its traceback.
    """

    import jax

    from jnf_jax.runtime import processes

    def wrapped(argv: list[str]) -> None:
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


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the flags; what is wrong with them is one line and exit code 2."""
    try:
        rest = flags.FLAGS(argv)
        if rest[1:]:
            raise flags.Error(f"unexpected arguments {rest[1:]}")
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    return rest


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a program: its flags are parsed, its faults told, its memory kept."""

    def after_flags(argv: list[str]) -> None:
        from jnf_jax.runtime import host_memory

        host_memory.keep_freed_memory()
        host_memory.collect_rarely()
        tell_faults(main)(argv)

    app.run(after_flags, flags_parser=parse_flags)
