"""Draws from a trained workdir, as a picture or as numbers.

    python -m jnf_jax.sample --workdir runs/digits --given m0,m2 --num 64 --out grid.png

Without ``--given`` the draws are from the prior: the model's own, or the one that
``--prior`` names, as in ``--prior gmm_after``. Given tuples are of the test split.

    python -m jnf_jax.sample --workdir runs/wine --given-file rows.npz \\
        --out generated.npz --num_samples 8

Rows that the model has never seen: ``rows.npz`` holds an array [N, ...] under the name
of each view that is given, in the units of the training data; ``generated.npz`` one
[num_samples, N, ...] of every other view. These are decoder means, with ``--noise``
draws of the likelihood too; that is ``jnf_jax.load(workdir).generate(rows)``, the same
numbers for the same ``--seed``, and the data need not be there.
"""

import jax
import numpy as np
from absl import flags

from jnf_jax import api, programs
from jnf_jax.evaluation.energy_report import checked_draws
from jnf_jax.evaluation.samples import Drawn, save
from jnf_jax.experiments.evaluate import draw_conditional, show
from jnf_jax.experiments.experiment import load_stages, open_experiment
from jnf_jax.methods.method import check_prior_name, check_subset

_WORKDIR = programs.define_path("workdir", "Of a finished training run.")
_GIVEN = flags.DEFINE_string("given", None, "Given modalities, separated by commas.")
_PRIOR = flags.DEFINE_string("prior", None, "To draw from where nothing is given.")
_NUM = flags.DEFINE_integer("num", 64, "Number of tuples or draws.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the draws.", lower_bound=0)
_DIFFUSED = flags.DEFINE_bool(
    "diffused", False, "Draws of the diffusion decoder instead of decoder means."
)
_FILE = programs.define_path("given-file", "New rows: .npz of given views.")
_NUM_SAMPLES = flags.DEFINE_integer(
    "num_samples", 8, "Draws for each row of --given-file.", lower_bound=1
)
_NOISE = flags.DEFINE_bool("noise", False, "Draw the likelihood's noise as well.")
_OUT = programs.define_path("out", "PNG to write; .npz with --given-file.")


def main(argv: list[str]) -> None:
    """Flags, then one picture, or a file of numbers."""
    del argv
    workdir = _WORKDIR.value
    if _FILE.value is not None:
        if _GIVEN.value is not None or _PRIOR.value is not None:
            raise ValueError("`--given-file` goes with neither `--given` nor `--prior`")
        api.generate_file(
            workdir,
            _FILE.value,
            _OUT.value,
            num_samples=_NUM_SAMPLES.value,
            seed=_SEED.value,
            noise=_NOISE.value,
        )
        print(_OUT.value)
        return
    setup = open_experiment(programs.config_of(workdir)[0])
    inference = setup.method.inference
    if _GIVEN.value is not None:
        subset = tuple(sorted(name for name in _GIVEN.value.split(",") if name))
        check_subset(subset, inference.modalities, name="--given")
        if _PRIOR.value is not None:
            raise ValueError(
                f"`--prior` is {_PRIOR.value!r}, expected none beside `--given`"
            )
    prior = check_prior_name(_PRIOR.value, inference.prior_names, argument="--prior")
    params, _, _ = load_stages(setup, workdir)
    if _GIVEN.value is None:
        key = jax.random.key(_SEED.value)
        z = checked_draws(inference, params, prior, key, _NUM.value)
        shown = show(setup, params, z, _SEED.value, diffused=_DIFFUSED.value)
        drawn = Drawn({}, shown)
    else:
        indices = np.arange(_NUM.value)
        drawn = draw_conditional(
            setup, params, subset, indices, _SEED.value, diffused=_DIFFUSED.value
        )
    for path in save(setup.dataset, drawn, _OUT.value):
        print(path)


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir", "out"])
    programs.run(main)
