"""Writes a page about runs, to be opened in a browser without network.

    python -m jnf_jax.report runs/a runs/b --out report.html

Tables, curves, samples, an explorer of any views from any others, latents, diagnostics
and what differs between the configs, from what training and evaluation left in the
folders: no model is run. Training writes it of its own run, as ``report.html`` there.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jnf_jax import programs
from jnf_jax.page.page import write_page
from jnf_jax.runtime.files import try_file, user_path


class _Parser(argparse.ArgumentParser):
    """Tells a fault in one line, as the other programs do."""

    def error(self, message: str) -> None:
        """Raises ValueError, which ``programs.faults_told`` tells."""
        raise ValueError(f"{message}; --help lists the arguments")


def main(arguments: Sequence[str] | None = None) -> Path:
    """Reads the command line, and writes the page.

    Raises:
        ValueError: Of the arguments, or as ``write_page``.
        OSError: The page cannot be written.
    """
    about = __doc__.partition("\n")[0]
    parser = _Parser(prog="python -m jnf_jax.report", description=about)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--out", default="report.html", help="the page")
    options = parser.parse_args(arguments)
    out = user_path(options.out, "--out")
    try_file(out, "--out")
    return write_page([user_path(run, "RUN") for run in options.runs], out)


if __name__ == "__main__":
    with programs.faults_told():
        print(main(sys.argv[1:]))
