"""Models and losses of MultiVae: committed, small; or written anew, at full width."""

import os
import subprocess
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

HERE = Path(__file__).parent


@pytest.fixture(
    scope="session",
    params=["committed", pytest.param("anew", marks=pytest.mark.peers)],
)
def theirs(request, tmp_path_factory):
    """The folder that ``write_multivae.py`` wrote, and the arrays of its losses.npz."""
    folder = tmp_path_factory.mktemp("multivae")
    if request.param == "committed":
        with zipfile.ZipFile(HERE / "multivae.zip") as archive:
            archive.extractall(folder)
    else:
        python = os.environ["JNF_JAX_RIVAL_PYTHON"]
        command = [python, HERE / "write_multivae.py", folder]
        subprocess.run(command, check=True)
    return folder, dict(np.load(folder / "losses.npz"))


@pytest.fixture(scope="session")
def views(theirs):
    """The data as we have them: pictures are [H, W, C]."""
    found = {
        name.removeprefix("data/"): x
        for name, x in theirs[1].items()
        if name.startswith("data/")
    }
    found = {m: np.moveaxis(x, 1, -1) if x.ndim == 4 else x for m, x in found.items()}
    return {m: jnp.asarray(x) for m, x in found.items()}
