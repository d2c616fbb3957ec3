"""Config files: loaded by path, one field set from a command line."""

import ast
import runpy
from pathlib import Path
from typing import Any

import ml_collections


def load_config(path: str) -> ml_collections.ConfigDict:
    """What ``get_config()`` of a file returns.

    Raises:
        ValueError: There is no such file, or no such function in it.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} is no file, expected one with get_config()")
    names = runpy.run_path(path)
    if "get_config" not in names:
        raise ValueError(f"{path} has no get_config(), expected a config")
    return names["get_config"]()


def parse_setting(text: str) -> tuple[str, Any]:
    """The field and the value of FIELD=VALUE; one that is no Python literal is text.

    Raises:
        ValueError: There is no "=".

    >>> parse_setting("flow.num_blocks=3"), parse_setting("init.joint=runs/a")
    (('flow.num_blocks', 3), ('init.joint', 'runs/a'))
    """
    field, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"`--set` is {text!r}, expected FIELD=VALUE")
    try:
        return field, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return field, value
