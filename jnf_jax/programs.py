"""The programs share the config flag, a workdir's config, and how faults are told.

JAX takes seconds to import: only what runs after the flags were parsed does.
"""

import contextlib
import faulthandler
import itertools
import logging
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import ml_collections
from absl import app, flags

from jnf_jax.experiments import config_files
from jnf_jax.experiments.options import override
from jnf_jax.runtime.files import try_file, try_folder, user_path

NOTICES = "notices.log"
"""The file of a workdir that keeps what libraries write to stderr by themselves."""


class _ConfigFlag(flags.Flag):
    """The name of a config; beside it, once the command line is parsed:

    Attributes:
        loaded: The config of that name, None without one.
        changes: What ``--config.FIELD=VALUE`` sets, {field: text}.
    """

    loaded: ml_collections.ConfigDict | None = None
    changes: Mapping[str, str] = {}


class _ListFlag(flags.BooleanFlag):
    """Prints all configs instead of running the program."""

    def parse(self, argument: str) -> None:
        if self._parse(argument):
            print(config_files.listing())
            sys.exit(0)


def define_config(description: str) -> flags.FlagHolder:
    """The flags ``--config NAME`` and ``--config.FIELD=VALUE``, and ``--list``."""
    flags.DEFINE_flag(_ListFlag("list", False, "Print all configs and exit."))
    own = _ConfigFlag(
        flags.ArgumentParser(), flags.ArgumentSerializer(), "config", None, description
    )
    return flags.DEFINE_flag(own)


class _PathParser(flags.ArgumentParser):
    """A path of the user's; ``flags`` would put its own words before the fault."""

    def __init__(self, name: str):
        self._argument = f"--{name}"

    def parse(self, argument: str | Path) -> Path:
        try:
            return user_path(argument, self._argument)
        except ValueError as error:
            raise flags.Error(str(error)) from error


def define_path(name: str, description: str) -> flags.FlagHolder:
    """The flag ``--NAME PATH``, whose value is a ``Path``, None without it."""
    parser, serializer = _PathParser(name), flags.ArgumentSerializer()
    return flags.DEFINE(parser, name, None, description, serializer=serializer)


def define_paths(name: str, description: str) -> flags.FlagHolder:
    """The flag ``--NAME PATH``, which may be given again: a list of ``Path``."""
    parser, serializer = _PathParser(name), flags.ArgumentSerializer()
    return flags.DEFINE_multi(parser, serializer, name, [], description)


def config_of(
    workdir: Path,
    flag: flags.FlagHolder | None = None,
    convert: Callable[..., ml_collections.ConfigDict] | None = None,
) -> tuple[ml_collections.ConfigDict, str]:
    """The config of the flag, or else the one that ``workdir`` was trained with.

    It is locked, has the command line's changes, and comes with its name in records.
    Where views of one's own are named, ``data.path``, it is what ``convert`` makes of
    them: ``own_data.of_flags``.

    Raises:
        ValueError: If there is neither; or as ``convert``.
    """
    own = None if flag is None else flags.FLAGS[flag.name]
    if own is not None and own.loaded is not None:
        config, named = own.loaded, own.value
        if convert and "data.path" in own.changes:
            changed = convert(named, workdir, config, own.changes)
            return changed, config_files.name_of(named)
    else:
        from jnf_jax.experiments import run_folder

        config, named = run_folder.read_config(workdir)
    override(config, own.changes if own is not None else {})
    return config.lock(), config_files.name_of(named)


def command_line() -> str:
    """The command that this process runs, for a shell; where data lay is DIR.

    Data are known by their checksums: their folders are those of one machine.
    """
    section = r"(?:data|evaluation\.\w+)"
    field = rf"(?:{section}\.\w+_(?:dir|file)|data\.path)"
    folder = rf"((?:--?config\.|(?:--?set=)?){field})"
    own = r"(?:--?config=)?own/jnf(?:_shared:\w+)?"
    arguments = []
    for before, argument in itertools.pairwise(sys.argv):
        argument = re.sub(rf"^{folder}=.*", r"\1=DIR", argument)
        argument = re.sub(rf"^({own}):.*", r"\1:DIR", argument)
        arguments.append("DIR" if re.fullmatch(folder, before) else argument)
    return shlex.join([*_program(), *arguments])


@contextlib.contextmanager
def faults_told() -> Iterator[None]:
    """What a user can mend is one message and exit code 2, no traceback.

    That is our own errors, and whatever the system refuses (OSError). Of several
    processes those that lose one say so and end at once, code 1, as waiting for it is
    in vain. Anything else is a fault of ours and keeps its traceback.
    """
    try:
        yield
    except (ValueError, FloatingPointError) as error:
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        if Path(__file__).parent not in Path(raised_in).parents:
            raise  # not a message of ours
        _refuse(str(error))
    except OSError as error:
        is_of_system = error.filename is not None and error.strerror
        _refuse(f"{error.filename}: {error.strerror}" if is_of_system else str(error))
    except RuntimeError as error:
        if not _is_of_several(error):
            raise
        from jnf_jax.runtime import processes

        print(f"{error}\nerror: {processes.LOST_PROCESS}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)


def _refuse(told: str) -> NoReturn:
    print(f"error: {told}", file=sys.stderr)
    sys.exit(2)


def _is_of_several(error: RuntimeError) -> bool:
    """Whether JAX raised it, in one process of several."""
    import jax

    return isinstance(error, jax.errors.JaxRuntimeError) and jax.process_count() > 1


@contextlib.contextmanager
def signals_told() -> Iterator[None]:
    """Ctrl-C and SIGTERM are one line with the command that goes on, no traceback.

    Exit codes are 130 and 143. A stage that trains has saved its step by then
    (``training.stopping``); elsewhere they are heard at once.
    """

    def terminate(number: int, frame: Any) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        code = getattr(end, "code", 128 + signal.SIGINT)
        if code not in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            raise
        if _is_first():
            name = signal.Signals(code - 128).name
            again = shlex.join([*_program(), *sys.argv[1:]])
            print(f"stopped by {name}; to go on: {again}", file=sys.stderr, flush=True)
        sys.exit(code)


def _is_first() -> bool:
    """Whether this process is alone, or speaks for several."""
    jax = sys.modules.get("jax")
    is_alone = jax is None or not jax.distributed.is_initialized()
    return is_alone or jax.process_index() == 0


def _program() -> list[str]:
    """The words by which a shell starts this program."""
    module = sys.modules["__main__"].__spec__
    return ["python", "-m", module.name] if module else ["python"]


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the flags; a fault of theirs is one line and exit code 2.

    Those of fields, ``--config.FIELD=VALUE``, are kept with the flag ``--config``.
    """
    try:
        rest, changes = _split_changes(argv) if "config" in flags.FLAGS else (argv, {})
        rest = flags.FLAGS(rest)
        if rest[1:]:
            raise flags.Error(f"unexpected arguments {rest[1:]}")
        if "config" in flags.FLAGS:
            own = flags.FLAGS["config"]
            own.changes = changes
            named = own.value
            own.loaded = None if named is None else config_files.load_config(named)
    except flags.Error as error:
        _refuse(str(error))
    except ValueError as error:
        _refuse(f"`--config`: {error}")
    return rest


def _split_changes(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command line without the fields of the config, and these."""
    rest, changes, words = [], {}, iter(argv)
    for word in words:
        match = re.fullmatch(r"--?config\.([\w.-]+)(?:=(.*))?", word, re.DOTALL)
        if match is None:
            rest.append(word)
            continue
        field, value = match.groups()
        changes[field] = next(words, None) if value is None else value
        if changes[field] is None:
            raise flags.Error(f"`--config.{field}` has no value")
    return rest, changes


def keep_notices(folder: Path) -> None:
    """Sends what libraries write to stderr by themselves to ``NOTICES`` in ``folder``.

    That is XLA, which has the file descriptor, and all that goes to Python's loggers.
    ``sys.stderr`` stays where it was: progress, faults, warnings, tracebacks, also the
    one of a crash.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / NOTICES, "ab") as log:
        sys.stderr.flush()
        shown = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
        os.dup2(log.fileno(), 2)
    logging.basicConfig(stream=sys.stderr, force=True)  # absl's follows `sys.stderr`
    sys.stderr = shown
    faulthandler.enable(shown)


def run(main: Callable[[list[str]], None], *, makes_workdir: bool = False) -> None:
    """Runs a program: its flags are parsed, its faults told, its memory kept.

    The first line is out before JAX is imported, which takes seconds. One process of
    several keeps quiet until it knows whether it speaks for them: these have imported
    JAX before.
    """

    def after_flags(argv: list[str]) -> None:
        workdir, made = flags.FLAGS.workdir, []
        try:
            with faults_told():
                _try_places(workdir if makes_workdir else None)
                if "jax" not in sys.modules:
                    if makes_workdir:
                        made = [
                            p for p in (workdir, *workdir.parents) if not p.exists()
                        ]
                    if makes_workdir or workdir.is_dir():
                        # A folder that is only read need not take them.
                        with contextlib.suppress(() if makes_workdir else OSError):
                            keep_notices(workdir)
                    if makes_workdir:
                        told = f"workdir {workdir}: loading JAX and the data…"
                        print(told, flush=True)
                from jnf_jax.runtime import host_memory

                host_memory.keep_freed_memory()
                host_memory.collect_rarely()
                main(argv)
        except SystemExit as end:
            if made and end.code == 2:
                _remove_if_unused(made)
            raise

    with signals_told():
        app.run(after_flags, flags_parser=parse_flags)


def _try_places(workdir: Path | None) -> None:
    """Tries ``workdir`` and ``--out``; OSError where they cannot be written."""
    if workdir is not None:
        try_folder(workdir, "--workdir")
    if "out" in flags.FLAGS and flags.FLAGS.out is not None:
        try_file(flags.FLAGS.out, "--out")


def _remove_if_unused(made: list[Path]) -> None:
    """Removes a workdir that holds nothing but the notices of a refused command.

    ``made`` are the workdir and the folders above it that were not there.
    """
    notices = made[0] / NOTICES
    if made[0].is_dir() and [*made[0].iterdir()] == [notices]:
        notices.unlink()
        for folder in made:
            folder.rmdir()
